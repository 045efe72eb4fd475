//! The models of permissions that an operator keeps beside the routes.

use std::sync::Arc;

use super::casbin::CasbinInForce;
use super::permissions::Permissions;

/// The models that conditions may ask; those that there are.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// authnzerver's.
    pub(crate) permissions: Option<Arc<Permissions>>,
    /// Casbin's.
    pub(crate) casbin: Option<Arc<CasbinInForce>>,
}
