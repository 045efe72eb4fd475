//! The models of permissions beside the routes, and the conditions that ask them: `permission` of
//! authnzerver's model, `casbin` of Casbin's; and `authorize`, which asks an external authorizer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::config::mistakes::Mistakes;
use crate::policy::Models;
use crate::policy::casbin::{BadCasbin, Casbin};
use crate::policy::decision::AuthorizedAction;
use crate::policy::permissions::Permissions;
use crate::policy::requirement::{Condition, ItemAction};
use crate::policy::routes::PathPattern;
use crate::policy::template::Template;
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

/// The files of Casbin.
#[derive(Clone, Debug)]
pub(crate) struct CasbinFiles {
    /// CASBIN_MODEL.
    pub(crate) model: PathBuf,
    /// CASBIN_POLICY.
    pub(crate) policy: PathBuf,
}

impl PolicyFiles {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Path> {
        let casbin = self.casbin.iter().flat_map(|files| [&files.model, &files.policy]);
        let others = [self.routes.as_ref(), self.permissions.as_ref()];
        others.into_iter().flatten().chain(casbin).map(PathBuf::as_path)
    }
}

/// The models that could be read, and which of them there should be.
pub(super) struct ModelsRead {
    pub(super) models: Models,
    has_permissions: bool,
    has_casbin: bool,
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
        let (has_permissions, has_casbin) = (permissions.is_some(), casbin.is_some());
        Self { models, has_permissions, has_casbin, has_authorizer }
    }

    /// Returns whether authnzerver's model is named.
    pub(super) fn has_permissions(&self) -> bool {
        self.has_permissions
    }

    /// Returns whether Casbin's files are named.
    pub(super) fn has_casbin(&self) -> bool {
        self.has_casbin
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

fn read_casbin(files: &CasbinFiles, mistakes: &mut Mistakes) -> Option<Arc<Casbin>> {
    let [model, policy] = [&files.model, &files.policy].map(|path| path.display().to_string());
    let mut text = |path: &Path, place: &str, setting: &str| {
        read_text(path, setting).map_err(|problem| mistakes.add(place, problem)).ok()
    };
    let texts =
        (text(&files.model, &model, "CASBIN_MODEL"), text(&files.policy, &policy, "CASBIN_POLICY"));
    let (Some(model_text), Some(policy_text)) = texts else { return None };
    match Casbin::compile(&model_text, &policy_text) {
        Ok(casbin) => {
            if casbin.rules() > MANY_RULES {
                mistakes.warn(&policy, format!(
                    "Casbin looks at {} rules for a decision, one after the other: a millisecond or more",
                    casbin.rules()
                ));
            }
            Some(Arc::new(casbin))
        }
        Err(BadCasbin::Model(problem)) => {
            mistakes.add(&model, problem);
            None
        }
        Err(BadCasbin::Rule { line, problem }) => {
            mistakes.add(&format!("{policy}, line {line}"), problem);
            None
        }
    }
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
        if !read.has_casbin {
            wrong(
                "casbin: there is no model to ask; set CASBIN_MODEL and CASBIN_POLICY".to_owned(),
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
