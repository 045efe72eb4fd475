//! What a PEM file holds, before a library is asked to read it: a key in the wrong place is told in
//! words that say what to do.

use super::KeyError;

/// Which half of a key pair it is.
pub(super) enum PemKind {
    Public,
    Private,
}

impl PemKind {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, KeyError> {
        let blocks = pem::parse_many(bytes).unwrap_or_default();
        let [block] = blocks.as_slice() else {
            return Err(KeyError::NotPem("this is not one key in PEM (-----BEGIN ... KEY-----)"));
        };
        match block.tag() {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Ok(Self::Public),
            "PRIVATE KEY" | "RSA PRIVATE KEY" => Ok(Self::Private),
            "EC PRIVATE KEY" => Err(KeyError::NotPem(
                "this is an EC key in the SEC1 form; PKCS#8 is needed: openssl pkcs8 -topk8 -nocrypt",
            )),
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::NotPem(
                "this private key is encrypted; decrypt it first: openssl pkey -in KEY.pem",
            )),
            "CERTIFICATE" => Err(KeyError::NotPem(
                "this is a certificate; take the key out: openssl x509 -pubkey -noout",
            )),
            _ => Err(KeyError::NotPem("this PEM holds neither a public nor a private key")),
        }
    }
}

/// Whether the bytes look like PEM of any kind, which no HMAC secret does.
pub fn looks_like_pem(bytes: &[u8]) -> bool {
    bytes.windows(10).any(|window| window == b"-----BEGIN")
}

/// Whether this is a private key in PEM.
pub fn is_private_pem(bytes: &[u8]) -> bool {
    pem::parse_many(bytes)
        .unwrap_or_default()
        .iter()
        .any(|block| block.tag().ends_with("PRIVATE KEY"))
}
