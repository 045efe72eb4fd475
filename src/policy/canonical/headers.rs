//! The headers in which gateways describe the client's request. The client's address is not among
//! them: it is in a list of proxies, `X-Forwarded-For`, which `Networks` reads.
//!
//! A client can send every one of them too. So the headers of the gateway's own family are read,
//! and nothing that says otherwise may stand beside them: no second line, no list, no name with
//! underscores, and no other family with another content.

use super::{Characters, Refusal, Told, canonical};
use crate::wire::fields::Fields;
use crate::wire::known_fields::{KnownField, KnownFields};

/// A set of headers that one kind of gateway writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// The header with the method.
    pub method: Option<KnownField>,
    /// The header with the scheme.
    pub scheme: Option<KnownField>,
    /// The header with the host.
    pub host: Option<KnownField>,
    /// The header with path and query, or with the whole address.
    pub target: Option<KnownField>,
    /// True where the gateway tells `!` for a byte of the path that is not UTF-8, and forwards the
    /// byte. Then `!` says nothing.
    pub is_lossy: bool,
}

/// The headers that an operator configures in nginx and HAProxy.
pub const ORIGINAL: Family = Family {
    method: Some(KnownField::of("x-original-method")),
    scheme: Some(KnownField::of("x-original-proto")),
    host: Some(KnownField::of("x-original-host")),
    target: Some(KnownField::of("x-original-uri")),
    is_lossy: false,
};

/// The headers of Traefik and Caddy.
pub const FORWARDED: Family = Family {
    method: Some(KnownField::of("x-forwarded-method")),
    scheme: Some(KnownField::of("x-forwarded-proto")),
    host: Some(KnownField::of("x-forwarded-host")),
    target: Some(KnownField::of("x-forwarded-uri")),
    is_lossy: false,
};

/// The headers of ingress-nginx: the whole address in one.
pub const INGRESS: Family = Family {
    method: Some(KnownField::of("x-original-method")),
    scheme: None,
    host: None,
    target: Some(KnownField::of("x-original-url")),
    is_lossy: false,
};

/// The one header of Envoy. Method, host and path are those of its own request.
pub const ENVOY: Family = Family {
    method: None,
    scheme: Some(KnownField::of("x-forwarded-proto")),
    host: None,
    target: None,
    is_lossy: true,
};

/// The headers of all families. Nearly no request has one of another family than its own.
const ALL: KnownFields = KnownFields::of(&[
    KnownField::of("x-original-method"),
    KnownField::of("x-original-proto"),
    KnownField::of("x-original-host"),
    KnownField::of("x-original-uri"),
    KnownField::of("x-original-url"),
    KnownField::of("x-forwarded-method"),
    KnownField::of("x-forwarded-proto"),
    KnownField::of("x-forwarded-host"),
    KnownField::of("x-forwarded-uri"),
]);

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
        // Many applications, and nginx's own variables, take an underscore for a dash.
        if headers.has_alias_of(ALL) {
            return Err(Refusal::UnderscoreAlias);
        }
        let told = self.told(headers, line)?;
        let has_others = headers.has_any(ALL.without(self.own()));
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
        let read = |field: Option<KnownField>, line: Option<&'t str>, refused: Characters| {
            let text = match field {
                Some(field) => one(headers, field)?,
                None => line,
            };
            let characters = text.map(Characters::of).unwrap_or_default();
            if characters.hold(Characters::CONTROL) {
                return Err(Refusal::BadByte);
            }
            if characters.hold(refused) { Err(Refusal::List) } else { Ok(text) }
        };
        Ok(Told {
            method: read(self.method, line.method, Characters::COMMA)?,
            scheme: read(self.scheme, line.scheme, Characters::COMMA)?,
            host: read(self.host, line.host, Characters::COMMA)?,
            target: read(self.target, line.target, Characters::default())?,
            client: line.client,
        })
    }

    /// Checks that the headers of this family, as far as there are any, describe the request that
    /// `told` describes.
    fn check_agreement<'t>(&self, headers: Fields<'t>, told: &Told<'t>) -> Result<(), Refusal> {
        if !headers.has_any(self.own()) {
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
    fn own(&self) -> KnownFields {
        let field = |field: Option<KnownField>| match field {
            Some(field) => KnownFields::of(&[field]),
            None => KnownFields::default(),
        };
        let [method, scheme, host, target] =
            [self.method, self.scheme, self.host, self.target].map(field);
        method.and(scheme).and(host).and(target)
    }
}

/// The value of a header that may come once. An empty one tells nothing.
fn one(headers: Fields<'_>, field: KnownField) -> Result<Option<&str>, Refusal> {
    let line = headers.known_once(field).map_err(|_| Refusal::Duplicate)?;
    let Some(line) = line else { return Ok(None) };
    let text = line.to_ascii().ok_or(Refusal::BadByte)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn has_lost_byte(target: &str) -> bool {
    target.split('?').next().is_some_and(|path| path.contains('!'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::fields::FieldList;

    #[test]
    fn all_families_are_among_the_headers() {
        let own = [&ORIGINAL, &FORWARDED, &INGRESS, &ENVOY].map(Family::own);
        let of_families = own.into_iter().fold(KnownFields::default(), KnownFields::and);
        assert_eq!(of_families, ALL);
    }

    /// With an underscore for one dash of its name or for several, in whatever case, however it was parsed.
    #[test]
    fn every_alias_of_every_header_is_refused() {
        for name in ALL.iter().map(KnownField::name) {
            let dashes: Vec<_> = name.match_indices('-').map(|(at, _)| at).collect();
            for replaced in 1..1 << dashes.len() {
                let is_replaced = |at: &usize| dashes.iter().position(|dash| dash == at);
                let letter = |(at, letter)| match is_replaced(&at) {
                    Some(number) if replaced & 1 << number != 0 => '_',
                    _ => letter,
                };
                let alias: String = name.chars().enumerate().map(letter).collect();
                for alias in [alias.to_ascii_uppercase(), alias] {
                    let field = [httparse::Header { name: &alias, value: b"/" }];
                    let list = FieldList::new(&field).unwrap();
                    let map = Fields::List(&list).to_map();
                    for fields in [Fields::List(&list), Fields::from(&map)] {
                        let told = FORWARDED.read(fields, &Told::default());
                        assert_eq!(told, Err(Refusal::UnderscoreAlias), "{alias}");
                    }
                }
            }
        }
    }
}
