//! `require` of a route: what it demands.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use toml::de::DeValue;
use toml::{Spanned, Value};

use super::lists::{OneOrMany, each};
use super::models::{AuthorizeTable, CasbinTable, ModelsRead, PermissionTable};
use super::table::{self, Read, Tell};
use crate::policy::claim::ClaimPath;
use crate::policy::requirement::{Condition, ExpectedValue};
use crate::policy::routes::PathPattern;
use crate::policy::{Access, Requirement};
use crate::token::{Thumbprint, is_scope};

/// The table as it stands in the file. All that it names must hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequireTable {
    scopes: Option<Names>,
    roles: Option<Names>,
    issuer: Option<OneOrMany>,
    audience: Option<OneOrMany>,
    claims: Option<BTreeMap<String, Value>>,
    /// In seconds.
    max_login_age: Option<u32>,
    permission: Option<PermissionTable>,
    casbin: Option<CasbinTable>,
    authorize: Option<AuthorizeTable>,
    gateway_certificate: Option<bool>,
    /// `any`, or fingerprints.
    client_certificate: Option<OneOrMany>,
    any: Option<Vec<RequireTable>>,
}

/// A list, all of which are demanded, or a table that says how many.
#[derive(Deserialize)]
#[serde(untagged, expecting = "write a list of texts, or a table with `all` or `any`")]
enum Names {
    All(Vec<String>),
    Table(NamesTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamesTable {
    all: Option<Vec<String>>,
    any: Option<Vec<String>>,
}

/// The value of `require`.
pub(super) enum RequireRead {
    Word(Access),
    Table(Box<RequireTable>),
}

/// Reads what a route demands; `None` where something is wrong.
pub(super) fn read(value: Spanned<DeValue<'_>>, tell: &mut Tell<'_>) -> Option<RequireRead> {
    let span = value.span();
    let access = match value.into_inner() {
        DeValue::Table(table) => {
            let read = table::read(table, span, "require", tell);
            let table = read.and_then(Read::whole);
            return table.map(Box::new).map(RequireRead::Table);
        }
        DeValue::String(word) if word == "nothing" => Access::Public,
        DeValue::String(word) if word == "token" => Access::Required(Requirement::default()),
        DeValue::String(word) if word == "user" => Access::Required(Requirement::user()),
        DeValue::String(word) if word == "never" => Access::Denied,
        _ => {
            let problem = "require: write \"nothing\", \"token\", \"user\", \"never\", or a table";
            tell(span.start, problem.to_owned());
            return None;
        }
    };
    Some(RequireRead::Word(access))
}

impl RequireRead {
    /// The access to a route with these paths.
    pub(super) fn access(
        self,
        paths: &[PathPattern],
        models: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Access {
        match self {
            Self::Word(access) => access,
            Self::Table(table) => Access::Required(table.requirement(paths, models, wrong)),
        }
    }
}

impl RequireTable {
    fn requirement(
        self,
        paths: &[PathPattern],
        models: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Requirement {
        let mut conditions = Vec::new();
        // One with a mistake is no condition, and yet it was named.
        let names_model =
            self.permission.is_some() || self.casbin.is_some() || self.authorize.is_some();
        if let Some(scopes) = self.scopes {
            let (all, any) = scopes.split();
            conditions
                .extend(all.map(|all| Condition::AllScopes(each("scopes", &all, scope, wrong))));
            conditions
                .extend(any.map(|any| Condition::AnyScope(each("scopes", &any, scope, wrong))));
        }
        if let Some(roles) = self.roles {
            let (all, any) = roles.split();
            conditions.extend(all.map(|all| Condition::AllRoles(each("roles", &all, name, wrong))));
            conditions.extend(any.map(|any| Condition::AnyRole(each("roles", &any, name, wrong))));
        }
        let mut names = |key, list: OneOrMany| each(key, &list.into_vec(), name, wrong);
        conditions.extend(self.issuer.map(|list| Condition::Issuer(names("issuer", list))));
        conditions.extend(self.audience.map(|list| Condition::Audience(names("audience", list))));
        for (claim, value) in self.claims.into_iter().flatten() {
            let values = values(&claim, value, paths, wrong);
            conditions.push(Condition::Claim { claim: ClaimPath::parse(&claim), values });
        }
        conditions.extend(
            self.max_login_age.map(|age| Condition::MaxLoginAge(Duration::from_secs(age.into()))),
        );
        if let Some(is_demanded) = self.gateway_certificate {
            if !is_demanded {
                wrong("`gateway_certificate` is true, or left out".to_owned());
            }
            conditions.push(Condition::GatewayCertificate);
        }
        conditions.extend(self.client_certificate.map(|it| client_certificate(it, wrong)));
        let permission = self.permission.and_then(|it| it.condition(paths, models, wrong));
        let casbin = self.casbin.and_then(|it| it.condition(paths, models, wrong));
        conditions.extend(permission.into_iter().chain(casbin));
        if let Some(ways) = self.any {
            if ways.is_empty() {
                wrong("`any` is an empty list; leave it out, or name one".to_owned());
            }
            let ways = ways.into_iter().map(|way| way.requirement(paths, models, wrong));
            conditions.push(Condition::AnyOf(ways.collect()));
        }
        // Asked last.
        conditions.extend(self.authorize.and_then(|it| it.condition(paths, models, wrong)));
        if conditions.is_empty() && !names_model {
            wrong("`require` demands nothing in particular; write require = \"token\"".to_owned());
        }
        Requirement::all(conditions)
    }
}

impl Names {
    fn split(self) -> (Option<Vec<String>>, Option<Vec<String>>) {
        match self {
            Self::All(all) => (Some(all), None),
            // Neither is an empty list, which is a mistake.
            Self::Table(NamesTable { all: None, any: None }) => (Some(Vec::new()), None),
            Self::Table(NamesTable { all, any }) => (all, any),
        }
    }
}

fn scope(text: &str) -> Result<String, String> {
    if is_scope(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no scope (RFC 6749, section 3.3)"))
    }
}

/// `any` certificate of a client, or one of those with these fingerprints.
fn client_certificate(listed: OneOrMany, wrong: &mut impl FnMut(String)) -> Condition {
    if matches!(&listed, OneOrMany::One(word) if word == "any") {
        return Condition::ClientCertificate(Vec::new());
    }
    let read = |text: &str| {
        let problem = || format!("{text:?} is neither \"any\" nor a SHA-256 in hexadecimal digits");
        Thumbprint::from_hex(text).ok_or_else(problem)
    };
    Condition::ClientCertificate(each("client_certificate", &listed.into_vec(), read, wrong))
}

fn name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("a name is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The values that a claim may have.
fn values(
    claim: &str,
    value: Value,
    paths: &[PathPattern],
    wrong: &mut impl FnMut(String),
) -> Vec<ExpectedValue> {
    if claim.is_empty() {
        wrong("claims: a name is empty".to_owned());
    }
    let members = match value {
        Value::Array(members) => members,
        single => vec![single],
    };
    if members.is_empty() {
        wrong(format!("claims: `{claim}` is an empty list; name a value"));
    }
    let read = |member| {
        expected(member, paths)
            .map_err(|problem| wrong(format!("claims: `{claim}` {problem}")))
            .ok()
    };
    members.into_iter().filter_map(read).collect()
}

fn expected(value: Value, paths: &[PathPattern]) -> Result<ExpectedValue, String> {
    let text = match value {
        Value::String(text) => text,
        Value::Integer(number) => return Ok(ExpectedValue::Text(number.to_string())),
        Value::Boolean(boolean) => return Ok(ExpectedValue::Text(boolean.to_string())),
        _ => return Err("is compared with texts, whole numbers, true and false alone".to_owned()),
    };
    let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) else {
        return if text.contains(['{', '}']) || text.is_empty() {
            Err(format!("cannot be {text:?}: {{name}} alone stands for a part of the path"))
        } else {
            Ok(ExpectedValue::Text(text))
        };
    };
    if paths.iter().all(|path| path.has_parameter(name)) {
        Ok(ExpectedValue::Parameter(name.to_owned()))
    } else {
        Err(format!("names {{{name}}}, which is no parameter of every `path` of this route"))
    }
}
