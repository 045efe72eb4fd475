//! The paths of the issuer, for the router, the document and the metadata. Pages, and the token
//! endpoint under another path, are named by the operator.

// Tokens for applications (RFC 6749, 7009, 7662).
/// The usual path of the token endpoint.
pub const TOKEN: &str = "/token";
pub(super) const REVOKE: &str = "/revoke";
pub(super) const INTROSPECT: &str = "/introspect";

// The sessions of whoever asks.
pub(super) const LOGOUT: &str = "/logout";
pub(super) const SESSIONS: &str = "/sessions";
pub(super) const ACCOUNT_EVENTS: &str = "/account/events";
/// A token against forged requests, for who acts by cookies.
pub(super) const CSRF: &str = "/csrf";
pub(super) const SESSION: &str = "/sessions/{id}";
pub(super) const TICKET: &str = "/ticket";

// The account of whoever asks, or would have one.
pub(super) const ACCOUNT: &str = "/account";
pub(super) const ACCOUNT_VERIFY: &str = "/account/verify";
pub(super) const ACCOUNT_RESEND: &str = "/account/verify/resend";
pub(super) const ACCOUNT_FORGOT: &str = "/account/forgot-password";
pub(super) const ACCOUNT_RESET: &str = "/account/reset-password";
pub(super) const ACCOUNT_PASSWORD: &str = "/account/password";
pub(super) const ACCOUNT_PASSWORD_CHECK: &str = "/account/password/check";
pub(super) const ACCOUNT_EMAIL: &str = "/account/email";

// The API keys of whoever asks.
pub(super) const KEYS: &str = "/keys";
pub(super) const KEY: &str = "/keys/{id}";
pub(super) const REFRESH_KEY: &str = "/keys/refresh";

// Metadata (RFC 8414, section 3), keys and health.
pub(super) const METADATA: &str = "/.well-known/oauth-authorization-server";
pub(super) const JWKS: &str = "/jwks";
pub(super) const WELL_KNOWN_JWKS: &str = "/.well-known/jwks.json";
pub(super) const HEALTH: &str = "/health";
pub(super) const READY: &str = "/ready";
pub(super) const HEALTHCHECK: &str = "/api/healthcheck";

// jwthenticator's; the gate answers the last three.
pub(super) const AUTHENTICATE: &str = "/authenticate";
pub(super) const REFRESH: &str = "/refresh";
pub(super) const VALIDATE: &str = "/validate";
pub(super) const VALIDATE_REQUEST: &str = "/validate_request";
pub(super) const VALIDATE_REQUEST_TRAEFIK: &str = "/validate_request/traefik";

// The internal listener.
pub(super) const REGISTER_KEY: &str = "/register_key";
pub(super) const IS_KEY_REGISTERED: &str = "/is_key_registered";
pub(super) const CHECK: &str = "/check";
pub(super) const CHECK_LIMIT: &str = "/check-limit";
pub(super) const ADMIN_AUDIT: &str = "/admin/audit";
pub(super) const ADMIN_AUDIT_SUMMARY: &str = "/admin/audit/summary";
pub(super) const ADMIN_SESSIONS: &str = "/admin/sessions";
pub(super) const ADMIN_SESSION: &str = "/admin/sessions/{id}";
pub(super) const ADMIN_USERS: &str = "/admin/users";
pub(super) const ADMIN_USER: &str = "/admin/users/{user}";
pub(super) const ADMIN_USER_LOCK: &str = "/admin/users/{user}/lock";
pub(super) const ADMIN_USER_UNLOCK: &str = "/admin/users/{user}/unlock";
pub(super) const ADMIN_USER_PASSWORD: &str = "/admin/users/{user}/password";
pub(super) const ADMIN_USER_VERIFY: &str = "/admin/users/{user}/verify";
pub(super) const ADMIN_USER_LINKS: &str = "/admin/users/{user}/links";
pub(super) const ADMIN_INVITATIONS: &str = "/admin/invitations";
pub(super) const ADMIN_USER_SESSIONS: &str = "/admin/users/{user}/sessions";
pub(super) const ADMIN_ROLES: &str = "/admin/roles";
pub(super) const ADMIN_USER_ROLE: &str = "/admin/users/{user}/roles/{role}";
pub(super) const ADMIN_RULES: &str = "/admin/policy/rules";
pub(super) const ADMIN_AUTHORIZE: &str = "/admin/authorize";
pub(super) const ADMIN_USER_KEYS: &str = "/admin/users/{user}/keys";
pub(super) const ADMIN_KEY: &str = "/admin/keys/{id}";

/// Those that no other route may have.
const TAKEN: [&str; 21] = [
    TICKET,
    ACCOUNT,
    TOKEN,
    REFRESH,
    REVOKE,
    INTROSPECT,
    LOGOUT,
    SESSIONS,
    CSRF,
    ACCOUNT_EVENTS,
    KEYS,
    AUTHENTICATE,
    VALIDATE,
    VALIDATE_REQUEST,
    JWKS,
    WELL_KNOWN_JWKS,
    METADATA,
    HEALTH,
    READY,
    HEALTHCHECK,
    VALIDATE_REQUEST_TRAEFIK,
];
/// Those below which no other route may be.
const ROOTS: [&str; 4] = [ACCOUNT, SESSIONS, KEYS, METADATA];

/// True if a route of the public listener has this path, or all that is below one.
pub fn is_taken(path: &str) -> bool {
    let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    TAKEN.contains(&path) || ROOTS.into_iter().any(below)
}
