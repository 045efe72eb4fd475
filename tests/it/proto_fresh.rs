//! The committed code of the gRPC services is what `proto/` says.
//!
//! No build needs a compiler of proto files: the code is committed, and this test makes it again
//! and compares. `PORTCULLIS_REGENERATE=1` makes it write what differs.

use std::fs;
use std::path::Path;

use prost::Message as _;

use crate::support::{in_repository, is_regenerating};

const PROTOS: [&str; 2] = ["portcullis/v1/portcullis.proto", "refresh.proto"];

/// Messages that hold tokens or secrets; their `Debug` is written by hand and does not show them.
const SECRET: [&str; 7] = [
    ".portcullis.v1.ClientCredentials",
    ".portcullis.v1.RefreshRequest",
    ".portcullis.v1.RefreshResponse",
    ".portcullis.v1.ValidateRequest",
    ".portcullis.v1.RevokeRequest",
    ".portcullis.v1.RevokeRequest.target",
    ".refresh.RefreshRequest",
];

const FILES: [&str; 3] = ["descriptors.binpb", "portcullis.v1.rs", "refresh.rs"];

fn generate(into: &Path) {
    let files = protox::compile(PROTOS, [in_repository("proto")]).expect("proto/ can be read");
    let mut bare = files.clone();
    bare.file.iter_mut().for_each(|file| file.source_code_info = None);
    fs::write(into.join("descriptors.binpb"), bare.encode_to_vec()).expect("written");
    let generator = tonic_prost_build::configure().out_dir(into).emit_rerun_if_changed(false);
    let generator = generator.build_transport(false).skip_debug(SECRET);
    generator.compile_fds(files).expect("code for proto/");
}

#[test]
fn the_code_of_the_grpc_services_is_what_proto_says() {
    let fresh = tempfile::tempdir().expect("a temporary folder");
    generate(fresh.path());
    let kept = in_repository("src/issuer/grpc/generated");
    let mut made: Vec<_> = fs::read_dir(fresh.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    made.sort();
    assert_eq!(made, FILES, "the names of the files have changed: src/issuer/grpc must know");
    for file in FILES {
        let made = fs::read(fresh.path().join(file)).expect("made");
        if is_regenerating() {
            fs::write(kept.join(file), &made).expect("written");
        }
        let kept = fs::read(kept.join(file)).unwrap_or_default();
        assert!(
            kept == made,
            "{file} is not what proto/ says: run this test with PORTCULLIS_REGENERATE=1"
        );
    }
}
