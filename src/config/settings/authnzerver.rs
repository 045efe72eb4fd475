//! The settings of authnzerver's wire, by authnzerver's names.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::pass_policy::PassPolicy;
use crate::config::setting::{Entry, Kind, Setting, settings};
use crate::config::texts::{allowed_hosts, days};
use crate::config::values::{list_or_off, optional, path, secret, whole};
use crate::issuer::authnzerver::RateLimits;
use crate::secret::Secret;

settings! {
    AUTHNZERVER_LISTEN: Vec<String> = list_or_off, "comma list of addresses, or off", "off",
        "The addresses where authnzerver's clients ask; one without a port has AUTHNZERVER_PORT";
    AUTHNZERVER_PORT: u16 = whole(0, 65_535), "number", "13431",
        "The port of an address in AUTHNZERVER_LISTEN that has none";
    AUTHNZERVER_TLS_CERT_FILE or AUTHNZERVER_TLSCERTFILE: Option<PathBuf> = optional(path), "path", "",
        "The certificate chain of authnzerver's wire, in PEM: TLS on its TCP addresses; read again \
        when it changes";
    AUTHNZERVER_TLS_KEY_FILE or AUTHNZERVER_TLSCERTKEY: Option<PathBuf> = optional(path), "path", "",
        "Its private key, in PEM";
    AUTHNZERVER_TLS_CLIENT_CA_FILE: Option<PathBuf> = optional(path), "path", "",
        "The CA that clients of authnzerver's wire must have a certificate of, in PEM (unset: none \
        is asked for)";
    AUTHNZERVER_SECRET: Option<Secret> [Secret] = secret, "Fernet key, or path", "",
        "The key that authnzerver's clients share with us, or the file that holds it";
    AUTHNZERVER_ALLOWEDHOSTS: Vec<String> = allowed_hosts,
        "list of hosts, with ; between them", "localhost;127.0.0.1",
        "The names by which authnzerver's wire may be called";
    AUTHNZERVER_RATELIMITS: Option<RateLimits> = RateLimits::parse, "name:number; ..., or none",
        "ipaddr:720; user:480; session:600; apikey:720; burst:150",
        "The requests of authnzerver's clients a minute, by group or by the name of a request";
    AUTHNZERVER_PASSPOLICY: Option<PassPolicy> = optional(PassPolicy::parse), "name:number; ...", "",
        "authnzerver's form of PASSWORD_MIN_LENGTH, PASSWORD_MAX_SIMILARITY and \
        PASSWORD_MAX_CHAR_FREQUENCY";
    AUTHNZERVER_SESSIONEXPIRY: Duration = days(1, 3_650), "days", "30",
        "The longest life of a session that a client of authnzerver opens";
}
