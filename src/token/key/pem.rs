//! The content of a PEM file, checked before a library reads it. A key in the wrong place gets an
//! error that says what to do, and changes by tools and settings on the way are undone.

use zeroize::Zeroizing;

use super::KeyError;

/// The half of a key pair.
pub(super) enum Half {
    Public,
    Private,
}

/// Reads the one key of a PEM file, which must be the wanted half. Returns it as libraries read it.
pub(super) fn read(bytes: &[u8], wanted: Half) -> Result<Zeroizing<String>, KeyError> {
    let blocks = blocks(bytes);
    let [block] = blocks.as_slice() else {
        return Err(KeyError::NotPem("this is not one key in PEM (-----BEGIN ... KEY-----)"));
    };
    let found = match block.tag() {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => Half::Public,
        "PRIVATE KEY" | "RSA PRIVATE KEY" => Half::Private,
        other => return Err(KeyError::NotPem(problem_of(other))),
    };
    match (wanted, found) {
        (Half::Public, Half::Private) => Err(KeyError::PrivateWherePublic),
        (Half::Private, Half::Public) => Err(KeyError::PublicWherePrivate),
        _ => Ok(Zeroizing::new(pem::encode(block))),
    }
}

/// The problem with PEM of another kind, and what to do about it.
fn problem_of(tag: &str) -> &'static str {
    match tag {
        "EC PRIVATE KEY" => {
            "this is an EC key in the SEC1 form; PKCS#8 is needed: \
             openssl pkcs8 -topk8 -nocrypt -in KEY.pem"
        }
        "ENCRYPTED PRIVATE KEY" => {
            "this private key is encrypted; decrypt it first: openssl pkey -in KEY.pem"
        }
        "CERTIFICATE" => {
            "this is a certificate; take the key out: \
             openssl x509 -pubkey -noout -in CERTIFICATE.pem"
        }
        _ => "this PEM holds neither a public nor a private key",
    }
}

/// The blocks that may be keys. `openssl ecparam -genkey` writes the name of the curve before the
/// key, which names it too.
fn blocks(bytes: &[u8]) -> Vec<pem::Pem> {
    let mut blocks = pem::parse_many(with_line_ends(bytes).as_slice()).unwrap_or_default();
    blocks.retain(|block| block.tag() != "EC PARAMETERS");
    blocks
}

/// The same with line ends where they were written out as `\n`, as in settings on one line. PEM
/// itself holds no backslash, and no empty lines between others.
fn with_line_ends(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    if !bytes.contains(&b'\\') {
        text.extend_from_slice(bytes);
        return text;
    }
    let mut rest = bytes;
    while let Some((byte, tail)) = rest.split_first() {
        let is_written_out = *byte == b'\\' && matches!(tail.first(), Some(b'n' | b'r'));
        let byte = if is_written_out { b'\n' } else { *byte };
        if byte != b'\n' || text.last() != Some(&b'\n') {
            text.push(byte);
        }
        rest = &tail[usize::from(is_written_out)..];
    }
    text
}

/// Returns whether the bytes look like PEM of any kind, which no HMAC secret does.
pub fn looks_like_pem(bytes: &[u8]) -> bool {
    bytes.windows(10).any(|window| window == b"-----BEGIN")
}

/// Returns whether this is a private key in PEM.
pub fn is_private_pem(bytes: &[u8]) -> bool {
    blocks(bytes).iter().any(|block| block.tag().ends_with("PRIVATE KEY"))
}
