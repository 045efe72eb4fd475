//! Variables of authnzerver's that mean nothing here, in words on what takes their place.
//!
//! Whoever moves its environment over would expect something of them. Where its wire is off they may
//! be those of an authnzerver beside us, and are nobody's business.

use std::collections::BTreeMap;

use super::mistakes::Mistakes;

/// The variables, and what to do in place of each.
const REFUSED: [(&str, &str); 12] = [
    ("AUTHNZERVER_AUTHDB", "take its accounts over by `portcullis import`, and leave it out"),
    ("AUTHNZERVER_BASEDIR", "set DATA_DIR"),
    ("AUTHNZERVER_DEBUGMODE", "set LOG_LEVEL=debug; there is no /echo"),
    ("AUTHNZERVER_WORKERS", "one process uses all cores; leave it out"),
    ("AUTHNZERVER_EMAILSERVER", MAIL),
    ("AUTHNZERVER_EMAILPORT", MAIL),
    ("AUTHNZERVER_EMAILUSER", MAIL),
    ("AUTHNZERVER_EMAILPASS", MAIL),
    ("AUTHNZERVER_EMAILSENDER", MAIL),
    ("AUTHNZERVER_ADMIN_EMAIL", ADMINISTRATOR),
    ("AUTHNZERVER_ADMIN_PASSWORD", ADMINISTRATOR),
    ("AUTHNZERVER_TLSKEYFILE", "the key is AUTHNZERVER_TLSCERTKEY"),
];
const MAIL: &str = "mails go by SMTP_HOST and its kin, none on this wire; leave it out";
const ADMINISTRATOR: &str =
    "nobody is made at the start: use `portcullis user add NAME --role superuser`";

/// Refuses those that are set.
pub(super) fn check(environment: &BTreeMap<String, String>, mistakes: &mut Mistakes) {
    for (name, instead) in REFUSED {
        if environment.get(name).is_some_and(|value| !value.is_empty()) {
            mistakes.add(name, format!("is not read: {instead}"));
        }
    }
}
