//! The models of permissions beside the routes, and the conditions that ask them: `permission` of
//! authnzerver's model, `casbin` of Casbin's; and `authorize`, which asks an external authorizer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::config::mistakes::Mistakes;
use crate::policy::casbin::BUILT_IN_MODEL;
use crate::policy::decision::AuthorizedAction;
use crate::policy::permissions::Permissions;
use crate::policy::requirement::{Condition, ItemAction};
use crate::policy::routes::PathPattern;
use crate::policy::template::Template;
use crate::policy::{BadCasbin, CasbinInForce, CasbinSource, Models, StoredRules};
use crate::wire::file;

/// The largest file, in bytes: room for 100,000 routes.
const MAX_BYTES: u64 = 16 << 20;
/// The number of Casbin rules beyond which a decision takes long.
const MANY_RULES: usize = 1_000;

/// The files of the policy; those that are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicyFiles {
    /// POLICY_FILE.
    pub(crate) routes: Option<PathBuf>,
    /// PERMISSIONS_FILE.
    pub(crate) permissions: Option<PathBuf>,
    /// Casbin's files.
    pub(crate) casbin: Option<CasbinFiles>,
}

/// The files of Casbin, and the rules of the database beside them. Without the latter both files are
/// set.
#[derive(Clone, Debug)]
pub(crate) struct CasbinFiles {
    /// CASBIN_MODEL; `None` is the built-in one.
    pub(crate) model: Option<PathBuf>,
    /// CASBIN_POLICY.
    pub(crate) policy: Option<PathBuf>,
    /// The rules of the database, where CASBIN_STORED_RULES says that they count.
    pub(crate) stored: Option<Arc<StoredRules>>,
}

impl PolicyFiles {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let casbin = self.casbin.as_ref();
        let (model, policy) =
            (casbin.and_then(|it| it.model.as_ref()), casbin.and_then(|it| it.policy.as_ref()));
        let all = [self.routes.as_ref(), self.permissions.as_ref(), model, policy];
        all.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// The models that could be read, and which of them there should be.
pub(super) struct ModelsRead {
    pub(super) models: Models,
    has_permissions: bool,
    casbin: Option<CasbinFiles>,
    has_authorizer: bool,
}

impl ModelsRead {
    /// Reads them. An authorizer is asked only while the gate runs.
    pub(super) fn read(files: &PolicyFiles, has_authorizer: bool, mistakes: &mut Mistakes) -> Self {
        let permissions = files.permissions.as_deref();
        let casbin = files.casbin.as_ref();
        let models = Models {
            permissions: permissions.and_then(|path| read_permissions(path, mistakes)),
            casbin: casbin.and_then(|files| read_casbin(files, mistakes)),
        };
        let has_permissions = permissions.is_some();
        Self { models, has_permissions, casbin: casbin.cloned(), has_authorizer }
    }

    /// Returns whether authnzerver's model is named.
    pub(super) fn has_permissions(&self) -> bool {
        self.has_permissions
    }

    /// Returns whether routes alone ask Casbin: there is no rule of the database, about which
    /// applications ask too.
    pub(super) fn has_casbin_of_routes(&self) -> bool {
        self.casbin.as_ref().is_some_and(|files| files.stored.is_none())
    }
}

/// Reads a text that this setting or argument names; its failure in one sentence.
pub(super) fn read_text(path: &Path, named_by: &str) -> Result<String, String> {
    let content = file::read_large(path, MAX_BYTES);
    let content = content.map_err(|error| format!("cannot read it: {error} ({named_by})"))?;
    String::from_utf8(content).map_err(|_| format!("it is not UTF-8 ({named_by})"))
}

fn read_permissions(path: &Path, mistakes: &mut Mistakes) -> Option<Arc<Permissions>> {
    let read = read_text(path, "PERMISSIONS_FILE").and_then(|text| Permissions::parse(&text));
    let read = read.map_err(|problem| mistakes.add(&path.display().to_string(), problem));
    read.ok().map(Arc::new)
}

fn read_casbin(files: &CasbinFiles, mistakes: &mut Mistakes) -> Option<Arc<CasbinInForce>> {
    let place = |path: &Option<PathBuf>, otherwise: &str| {
        path.as_ref().map_or_else(|| otherwise.to_owned(), |path| path.display().to_string())
    };
    let model = place(&files.model, "the built-in model of Casbin");
    let policy = place(&files.policy, "CASBIN_POLICY");
    let mut text = |path: &Option<PathBuf>, place: &str, setting: &str| {
        let read = path.as_deref().map(|path| read_text(path, setting)).transpose();
        read.map_err(|problem| mistakes.add(place, problem)).ok()
    };
    let texts =
        (text(&files.model, &model, "CASBIN_MODEL"), text(&files.policy, &policy, "CASBIN_POLICY"));
    let (Some(model_text), Some(rules)) = texts else { return None };
    let model_text = model_text.unwrap_or_else(|| BUILT_IN_MODEL.to_owned());
    let source = CasbinSource { model: model_text, rules };
    match CasbinInForce::compile(source, files.stored.clone()) {
        Ok(casbin) => {
            if casbin.rules() > MANY_RULES {
                mistakes.warn(&policy, many_rules(casbin.rules()));
            }
            Some(Arc::new(casbin))
        }
        Err(bad) => {
            let place = match &bad {
                BadCasbin::Model(_) => model,
                BadCasbin::Rule { line, .. } => format!("{policy}, line {line}"),
                BadCasbin::Stored { .. } => "a rule of the database".to_owned(),
            };
            mistakes.add(&place, bad.to_string());
            None
        }
    }
}

/// The warning about many rules.
fn many_rules(rules: usize) -> String {
    format!(
        "Casbin looks at {rules} rules for a decision, one after the other: a millisecond or more"
    )
}

/// `permission` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionTable {
    item: String,
    action: String,
    owner: String,
    visibility: String,
    #[serde(default)]
    shared_with: String,
}

impl PermissionTable {
    /// The condition; `None` where something is wrong.
    pub(super) fn condition(
        self,
        paths: &[PathPattern],
        read: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Option<Condition> {
        if !read.has_permissions {
            wrong("permission: there is no model to ask; set PERMISSIONS_FILE".to_owned());
        }
        let mut read_part = |key: &str, text: &str| template("permission", key, text, paths, wrong);
        let item = read_part("item", &self.item);
        let action = read_part("action", &self.action);
        let owner = read_part("owner", &self.owner);
        let visibility = read_part("visibility", &self.visibility);
        // It is the only one that may be empty.
        let shared_with = match self.shared_with.as_str() {
            "" => Template::parse("", |_| false).ok(),
            text => read_part("shared_with", text),
        };
        let (item, action, owner, visibility, shared_with) =
            (item?, action?, owner?, visibility?, shared_with?);
        if let Some(model) = &read.models.permissions {
            let mut known = |key: &str, text: &Template, is_known: &dyn Fn(&str) -> bool| {
                if let Some(text) = text.constant().filter(|text| !is_known(text)) {
                    wrong(format!("permission: the model has no {key} {text:?}"));
                }
            };
            known("item", &item, &|text| model.has_item(text));
            known("action", &action, &|text| model.has_action(text));
            known("visibility", &visibility, &|text| model.has_visibility(text));
        }
        Some(Condition::Permission(ItemAction { item, action, owner, visibility, shared_with }))
    }
}

/// `casbin` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CasbinTable {
    object: String,
    action: String,
}

impl CasbinTable {
    /// The condition; `None` where something is wrong.
    pub(super) fn condition(
        self,
        paths: &[PathPattern],
        read: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Option<Condition> {
        if read.casbin.is_none() {
            wrong(
                "casbin: there is no model to ask; set CASBIN_MODEL and CASBIN_POLICY, or \
                 CASBIN_STORED_RULES"
                    .to_owned(),
            );
        }
        let object = template("casbin", "object", &self.object, paths, wrong);
        let action = template("casbin", "action", &self.action, paths, wrong);
        Some(Condition::Casbin { object: object?, action: action? })
    }
}

/// `authorize` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizeTable {
    action: String,
    #[serde(rename = "type")]
    resource_type: String,
    resource: String,
}

impl AuthorizeTable {
    /// The condition; `None` where something is wrong.
    pub(super) fn condition(
        self,
        paths: &[PathPattern],
        read: &ModelsRead,
        wrong: &mut impl FnMut(String),
    ) -> Option<Condition> {
        if !read.has_authorizer {
            wrong("authorize: there is nobody to ask; set AUTHORIZER_URL".to_owned());
        }
        let mut read_part = |key: &str, text: &str| template("authorize", key, text, paths, wrong);
        let action = read_part("action", &self.action);
        let resource_type = read_part("type", &self.resource_type);
        let resource = read_part("resource", &self.resource);
        let (action, resource_type, resource) = (action?, resource_type?, resource?);
        Some(Condition::Authorize(AuthorizedAction { action, resource_type, resource }))
    }
}

/// Reads a text with parts of the request in it, which must not be empty.
fn template(
    condition: &str,
    key: &str,
    text: &str,
    paths: &[PathPattern],
    wrong: &mut impl FnMut(String),
) -> Option<Template> {
    if text.is_empty() {
        wrong(format!("{condition}: `{key}` is empty"));
        return None;
    }
    let is_parameter = |name: &str| paths.iter().all(|path| path.has_parameter(name));
    let read = Template::parse(text, is_parameter);
    read.map_err(|problem| wrong(format!("{condition}: `{key}`: {problem}"))).ok()
}

#[cfg(test)]
mod tests;
