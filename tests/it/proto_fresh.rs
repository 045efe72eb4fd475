//! The committed code of the gRPC services is what `proto/` says.
//!
//! No build needs a compiler of proto files: the code is committed, and this test makes it again
//! and compares. `PORTCULLIS_REGENERATE=1` makes it write what differs.

use std::fs;
use std::path::Path;

use prost::Message as _;

use crate::support::{in_repository, is_regenerating};

/// Services, and the code that is made of them.
struct Generated {
    protos: &'static [&'static str],
    /// The folder of the code.
    folder: &'static str,
    /// The names of its files.
    files: &'static [&'static str],
    /// Messages that hold tokens or secrets; their `Debug` is written by hand and does not show them.
    secret: &'static [&'static str],
    /// Fields whose bytes are not copied out of a message.
    shared: Option<&'static str>,
    /// The file that holds what the reflection service tells.
    descriptors: Option<&'static str>,
}

const ISSUER: Generated = Generated {
    protos: &["portcullis/v1/portcullis.proto", "refresh.proto"],
    folder: "src/issuer/grpc/generated",
    files: &["descriptors.binpb", "portcullis.v1.rs", "refresh.rs"],
    secret: &[
        ".portcullis.v1.ClientCredentials",
        ".portcullis.v1.RefreshRequest",
        ".portcullis.v1.RefreshResponse",
        ".portcullis.v1.ValidateRequest",
        ".portcullis.v1.RevokeRequest",
        ".portcullis.v1.RevokeRequest.target",
        ".refresh.RefreshRequest",
    ],
    shared: None,
    descriptors: Some("descriptors.binpb"),
};

const EXT_AUTHZ: Generated = Generated {
    protos: &["envoy/service/auth/v3/external_auth.proto"],
    folder: "src/gate/ext_authz/generated",
    files: &[
        "envoy.config.core.v3.rs",
        "envoy.r#type.v3.rs",
        "envoy.service.auth.v3.rs",
        "google.rpc.rs",
    ],
    secret: &[
        ".envoy.config.core.v3.HeaderValue",
        ".envoy.service.auth.v3.AttributeContext.HttpRequest",
    ],
    shared: Some(".envoy.config.core.v3.HeaderValue.raw_value"),
    descriptors: None,
};

impl Generated {
    fn make(&self, into: &Path) {
        let files = protox::compile(self.protos, [in_repository("proto")]);
        let files = files.expect("proto/ can be read");
        if let Some(name) = self.descriptors {
            let mut bare = files.clone();
            bare.file.iter_mut().for_each(|file| file.source_code_info = None);
            fs::write(into.join(name), bare.encode_to_vec()).expect("written");
        }
        let generator = tonic_prost_build::configure().out_dir(into).emit_rerun_if_changed(false);
        let generator = generator.build_transport(false).skip_debug(self.secret);
        let generator = self.shared.into_iter().fold(generator, |it, field| it.bytes(field));
        generator.compile_fds(files).expect("code for proto/");
    }

    fn check(&self) {
        let fresh = tempfile::tempdir().expect("a temporary folder");
        self.make(fresh.path());
        let kept = in_repository(self.folder);
        let mut made: Vec<_> = fs::read_dir(fresh.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        made.sort();
        let folder = self.folder;
        assert_eq!(made, self.files, "the names of the files have changed: {folder} must know");
        for file in self.files {
            let made = fs::read(fresh.path().join(file)).expect("made");
            if is_regenerating() {
                fs::write(kept.join(file), &made).expect("written");
            }
            let kept = fs::read(kept.join(file)).unwrap_or_default();
            assert!(
                kept == made,
                "{folder}/{file} is not what proto/ says: run this test with PORTCULLIS_REGENERATE=1"
            );
        }
    }
}

#[test]
fn the_code_of_the_grpc_services_is_what_proto_says() {
    ISSUER.check();
}

#[test]
fn the_code_of_ext_authz_is_what_proto_says() {
    EXT_AUTHZ.check();
}
