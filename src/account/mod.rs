//! Accounts: users, their passwords and API keys, the clients of OAuth, and the audit events that are
//! kept beside them.

mod audit_event;
mod claims;
mod key_bounds;
mod name;
pub mod password;
pub mod policy;
mod record;
mod role_name;
mod rules;
mod sql;
mod store;
mod user_lookup;

pub use audit_event::{AuditEvent, AuditStore, EventCursor, EventFilter, EventSummary};
pub use claims::{claims_of, is_reserved};
pub use key_bounds::{AddressRange, KeyBounds, KeyUse, NoAddress, UnmetBound, is_path};
pub use name::{InvalidLogin, Login};
pub use record::{
    ApiKey, Client, ClientSecret, KEY_PREFIX, KEY_REFRESH_PREFIX, KeyDigest, KeyRefresh,
    KeyUnusable, SECRET_OVERLAP, SentMail, User, UserKind, UserState,
};
pub use role_name::{InvalidRoleName, RoleName};
pub use rules::{RoleGroup, RuleSet, RuleStore, StoredRule};
pub use sql::{PostgresAccounts, SqliteAccounts};
pub use store::{AccountError, AccountStore};
pub use user_lookup::{UserLookup, find_user};
