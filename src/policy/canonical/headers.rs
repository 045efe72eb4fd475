//! The headers in which gateways describe the client's request. The client's address is not among
//! them: it is in a list of proxies, `X-Forwarded-For`, which `Networks` reads.
//!
//! A client can send every one of them too. So the headers of the gateway's own family are read,
//! and nothing that says otherwise may stand beside them: no second line, no list, no name with
//! underscores, and no other family with another content.

use super::{Refusal, Told, canonical};
use crate::wire::fields::Fields;

/// A set of headers that one kind of gateway writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The header with the method.
    pub method: Option<&'static str>,
    /// The header with the scheme.
    pub scheme: Option<&'static str>,
    /// The header with the host.
    pub host: Option<&'static str>,
    /// The header with path and query, or with the whole address.
    pub target: Option<&'static str>,
    /// True where the gateway tells `!` for a byte of the path that is not UTF-8, and forwards the
    /// byte. Then `!` says nothing.
    pub is_lossy: bool,
    /// The headers of all other families that are none of this one. Nearly no request has one.
    pub others: &'static [&'static str],
}

/// The headers that an operator configures in nginx and HAProxy.
pub const ORIGINAL: Family = Family {
    method: Some("x-original-method"),
    scheme: Some("x-original-proto"),
    host: Some("x-original-host"),
    target: Some("x-original-uri"),
    is_lossy: false,
    others: &[
        "x-forwarded-method",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-uri",
        "x-original-url",
    ],
};

/// The headers of Traefik and Caddy.
pub const FORWARDED: Family = Family {
    method: Some("x-forwarded-method"),
    scheme: Some("x-forwarded-proto"),
    host: Some("x-forwarded-host"),
    target: Some("x-forwarded-uri"),
    is_lossy: false,
    others: &[
        "x-original-method",
        "x-original-proto",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
    ],
};

/// The headers of ingress-nginx: the whole address in one.
pub const INGRESS: Family = Family {
    method: Some("x-original-method"),
    scheme: None,
    host: None,
    target: Some("x-original-url"),
    is_lossy: false,
    others: &[
        "x-original-proto",
        "x-original-host",
        "x-original-uri",
        "x-forwarded-method",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-uri",
    ],
};

/// The one header of Envoy. Method, host and path are those of its own request.
pub const ENVOY: Family = Family {
    method: None,
    scheme: Some("x-forwarded-proto"),
    host: None,
    target: None,
    is_lossy: true,
    others: &[
        "x-original-method",
        "x-original-proto",
        "x-original-host",
        "x-original-uri",
        "x-forwarded-method",
        "x-forwarded-host",
        "x-forwarded-uri",
        "x-original-url",
    ],
};

/// The places at which all those names have their dashes.
const DASHES: [usize; 3] = [1, 10, 11];

/// The families whose headers must not say otherwise.
const FAMILIES: [&Family; 3] = [&ORIGINAL, &FORWARDED, &INGRESS];

impl Family {
    /// Reads the headers of this family; what it has no header for is taken from `line`, the
    /// gateway's own request.
    ///
    /// # Errors
    /// The reason why the headers do not say one thing.
    pub fn read<'t>(
        &self,
        headers: impl Into<Fields<'t>>,
        line: &Told<'t>,
    ) -> Result<Told<'t>, Refusal> {
        let headers = headers.into();
        refuse_aliases(headers)?;
        let told = self.told(headers, line)?;
        let has_others = self.others.iter().any(|name| headers.contains(name));
        if self.is_lossy && told.target.is_some_and(has_lost_byte) {
            return Err(Refusal::BadByte);
        }
        if has_others {
            let others = FAMILIES.into_iter().filter(|other| *other != self);
            { others }.try_for_each(|other| other.check_agreement(headers, &told))?;
        }
        Ok(told)
    }

    fn told<'t>(&self, headers: Fields<'t>, line: &Told<'t>) -> Result<Told<'t>, Refusal> {
        let value = |name: Option<&str>, line| match name {
            Some(name) => one(headers, name),
            None => Ok(line),
        };
        Ok(Told {
            method: no_list(value(self.method, line.method)?)?,
            scheme: no_list(value(self.scheme, line.scheme)?)?,
            host: no_list(value(self.host, line.host)?)?,
            target: value(self.target, line.target)?,
            client: line.client,
        })
    }

    /// Checks that the headers of this family, as far as there are any, describe the request that
    /// `told` describes.
    fn check_agreement<'t>(&self, headers: Fields<'t>, told: &Told<'t>) -> Result<(), Refusal> {
        if !self.names().any(|name| headers.contains(name)) {
            return Ok(());
        }
        let said = self.told(headers, told)?;
        let said = Told {
            method: said.method.or(told.method),
            scheme: said.scheme.or(told.scheme),
            host: said.host.or(told.host),
            target: said.target.or(told.target),
            client: told.client,
        };
        let agrees = said == *told || canonical(&said)? == canonical(told)?;
        if agrees { Ok(()) } else { Err(Refusal::Disagreement) }
    }

    /// The headers that describe the request itself.
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.method, self.scheme, self.host, self.target].into_iter().flatten()
    }
}

/// Refuses the name of such a header with an underscore for a dash: many applications, and nginx's
/// own variables, take one for the other.
fn refuse_aliases(headers: Fields<'_>) -> Result<(), Refusal> {
    let describes = |name: &str| {
        let mut names = FAMILIES.into_iter().flat_map(Family::names);
        names.any(|own| own.eq_ignore_ascii_case(name))
    };
    let may_be = |name: &str| DASHES.iter().any(|at| name.as_bytes().get(*at) == Some(&b'_'));
    let is_alias = |name: &str| may_be(name) && describes(&name.replace('_', "-"));
    if headers.names().any(is_alias) { Err(Refusal::UnderscoreAlias) } else { Ok(()) }
}

/// The value of a header that may come once. An empty one tells nothing.
fn one<'t>(headers: Fields<'t>, name: &str) -> Result<Option<&'t str>, Refusal> {
    let Some(line) = headers.one(name).map_err(|_| Refusal::Duplicate)? else { return Ok(None) };
    let text = line.to_str().ok_or(Refusal::BadByte)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn has_lost_byte(target: &str) -> bool {
    target.split('?').next().is_some_and(|path| path.contains('!'))
}

fn no_list(text: Option<&str>) -> Result<Option<&str>, Refusal> {
    if text.is_some_and(|text| text.bytes().any(|byte| byte == b',')) {
        Err(Refusal::List)
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_family_knows_the_headers_of_all_others() {
        for own in [&ORIGINAL, &FORWARDED, &INGRESS, &ENVOY] {
            let all = FAMILIES.into_iter().flat_map(Family::names);
            let others = all.filter(|name| !own.names().any(|own| own == *name));
            let listed: BTreeSet<_> = own.others.iter().copied().collect();
            assert_eq!(listed, others.collect(), "{own:?}");
        }
        for name in FAMILIES.into_iter().flat_map(Family::names) {
            let dashes: Vec<_> = name.match_indices('-').map(|(at, _)| at).collect();
            assert!(dashes.iter().all(|at| DASHES.contains(at)), "{name}");
        }
    }
}
