//! The reason why a request may not pass, in one fixed word.

use std::sync::Arc;

use super::identity::IdentityError;
use crate::policy::Unmet;
use crate::policy::canonical::Refusal;
use crate::session::{Ended, NotBound, NotLive};
use crate::token::TokenError;

/// A request that may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The reason.
    pub code: DenialCode,
    /// The scopes that were needed, where they are the reason; separated by spaces.
    pub scopes: Option<String>,
    /// The greatest age of a login in seconds, where that is the reason (RFC 9470, section 3).
    pub max_age: Option<u64>,
    /// The seconds after which asking again may help, where that is known.
    pub retry_after: Option<u64>,
    /// The user, where the credentials are good and do not suffice. For the log alone.
    pub user: Option<String>,
    /// True where the challenge is one for DPoP: the client sent a token so, or has to.
    pub is_dpop: bool,
    /// The reason why the request is ambiguous. For the log alone.
    pub refusal: Option<Refusal>,
    /// The route that denied it. For the log alone.
    pub route: Option<Arc<str>>,
}

impl Denial {
    /// The same denial, of a known user.
    #[must_use]
    pub fn of(self, user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..self }
    }

    /// The same denial, at this route.
    #[must_use]
    pub fn at(self, route: Option<&Arc<str>>) -> Self {
        Self { route: route.cloned(), ..self }
    }
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..DenialCode::AmbiguousRequest.into() }
    }
}

impl From<Unmet> for Denial {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::Scope(scopes) => {
                Self { scopes: Some(scopes), ..DenialCode::InsufficientScope.into() }
            }
            Unmet::Role => DenialCode::InsufficientRole.into(),
            Unmet::Issuer => DenialCode::WrongIssuer.into(),
            Unmet::Audience => DenialCode::WrongAudience.into(),
            Unmet::Claim => DenialCode::WrongClaim.into(),
            Unmet::Permission => DenialCode::PermissionDenied.into(),
            Unmet::Undecided(_) => DenialCode::AuthorizerUnavailable.into(),
            Unmet::Unavailable => DenialCode::StoreUnavailable.into(),
            Unmet::GatewayCertificate => DenialCode::GatewayCertificateRequired.into(),
            Unmet::ClientCertificate => DenialCode::ClientCertificateRequired.into(),
            Unmet::LoginAge(age) => {
                Self { max_age: Some(age.as_secs()), ..DenialCode::LoginTooOld.into() }
            }
        }
    }
}

impl From<DenialCode> for Denial {
    fn from(code: DenialCode) -> Self {
        let is_dpop = code == DenialCode::DpopRequired || code.class() == Class::BadProof;
        Self {
            code,
            scopes: None,
            max_age: None,
            retry_after: None,
            user: None,
            is_dpop,
            refusal: None,
            route: None,
        }
    }
}

/// The kind of answer that a denial calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing to judge: 401, or 403 where the operator set so.
    NoCredentials,
    /// Credentials that are not good: 401 with `invalid_token` (RFC 6750, section 3.1).
    BadCredentials,
    /// A proof beside the credentials that is not good: 401 with `invalid_dpop_proof` (RFC 9449, section
    /// 7.1).
    BadProof,
    /// Good credentials that do not suffice: 403 with `insufficient_scope`.
    NotEnough,
    /// Good credentials of a login that is too old: 401 with `insufficient_user_authentication`
    /// (RFC 9470, section 3).
    LoginAgain,
    /// The request may not pass, whoever sends it: 403.
    Refused,
    /// The operator's mistake, not the client's: 403, so that nobody passes.
    Misconfigured,
    /// Too much was tried or sent: 429, or 403 where the gateway does not relay that.
    TooMany,
    /// The decision is not possible now: 503.
    Unavailable,
}

macro_rules! denial_codes {
    ($($variant:ident $name:literal $class:ident $description:literal,)*) => {
        /// The reason why a request may not pass: one fixed word that the response, the log line
        /// and the metric share, and that never holds anything of the request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DenialCode {
            $(#[doc = $description] $variant,)*
        }

        impl DenialCode {
            /// All codes, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The kind of answer that it calls for.
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// One sentence for the client; fit for `error_description` (RFC 6750, section 3).
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)* }
            }
        }
    };
}

denial_codes! {
    MissingCredentials "missing_credentials" NoCredentials "No credentials were sent",
    MalformedCredentials "malformed_credentials" NoCredentials
        "The credentials are malformed, or were sent more than once",
    SeveralCredentials "several_credentials" BadCredentials
        "Two different credentials were sent; send one",
    TokenTooLarge "token_too_large" BadCredentials "The token is too large",
    TokenMalformed "token_malformed" BadCredentials "The token is malformed",
    UnsupportedAlgorithm "unsupported_algorithm" BadCredentials
        "The algorithm of the token is not supported",
    UnsupportedHeader "unsupported_header" BadCredentials
        "The header of the token asks for an extension that is not supported",
    WrongType "wrong_type" BadCredentials "The token is not an access token",
    BadClaim "bad_claim" BadCredentials "A claim of the token is missing or has the wrong type",
    UnknownIssuer "unknown_issuer" BadCredentials "The issuer of the token is not accepted",
    UnknownKey "unknown_key" BadCredentials "The key of the token is not known",
    BadSignature "bad_signature" BadCredentials "The signature of the token is not valid",
    TokenExpired "token_expired" BadCredentials "The token has expired",
    TokenNotYetValid "token_not_yet_valid" BadCredentials "The token is not valid yet",
    WrongAudience "wrong_audience" BadCredentials "The token is for another audience",
    UnknownConfirmation "unknown_confirmation" BadCredentials
        "The token is bound to its sender in a way that is not supported",
    HandleUnknown "handle_unknown" BadCredentials "The token does not exist or was revoked",
    TicketUnknown "ticket_unknown" BadCredentials
        "The ticket does not exist, was used, or has expired",
    TicketUnexpected "ticket_unexpected" BadCredentials
        "A ticket opens a web socket, and nothing else",
    ApiKeyUnknown "api_key_unknown" BadCredentials
        "The API key does not exist, was revoked, or its user may not log in",
    ApiKeyExpired "api_key_expired" BadCredentials
        "The API key has expired; refresh it, or make another",
    ApiKeyNotYetValid "api_key_not_yet_valid" BadCredentials
        "The API key may not be used yet; look at the time from which it is good",
    ApiKeyReplaced "api_key_replaced" BadCredentials
        "The API key was refreshed; use the one that took its place",
    ApiKeyWrongIssuer "api_key_wrong_issuer" BadCredentials
        "The API key is of another issuer; make one here",
    ApiKeyWrongAudience "api_key_wrong_audience" BadCredentials
        "The API key is for another service; use it there, or make one for this host",
    ApiKeyWrongSubject "api_key_wrong_subject" BadCredentials
        "The API key is for other paths, or for another user; make one for this path",
    ApiKeyWrongAddress "api_key_wrong_address" BadCredentials
        "The API key may not be used from this address, or the gateway does not tell the address",
    CertificateMismatch "certificate_mismatch" BadCredentials
        "The token is bound to a client certificate, and that one was not shown",
    WrongPassword "wrong_password" BadCredentials
        "The user name or the password is wrong, or the user may not log in",
    TokenInactive "token_inactive" BadCredentials
        "The token does not exist at its issuer, has expired or was revoked",
    DpopRequired "dpop_required" BadCredentials
        "The token is bound to a key: send it by the scheme DPoP, with a proof of that key",
    DpopUnbound "dpop_unbound" BadCredentials
        "The token is not bound to a key: send it by the scheme Bearer",
    BadDpopProof "bad_dpop_proof" BadProof
        "The DPoP proof is missing, was sent more than once, or is not a good one",
    DpopProofMismatch "dpop_proof_mismatch" BadProof
        "The DPoP proof is for another request, another token or another key",
    DpopProofExpired "dpop_proof_expired" BadProof
        "The DPoP proof was not made just now; the clocks may differ",
    DpopProofReplayed "dpop_proof_replayed" BadProof "The DPoP proof was used before",
    CookieMismatch "cookie_mismatch" BadCredentials
        "The cookies do not belong together, or one of them is missing",
    SessionRequired "session_required" BadCredentials "The token names no session",
    SessionUnknown "session_unknown" BadCredentials "The session does not exist or was revoked",
    SessionExpired "session_expired" BadCredentials "The session has expired",
    SessionInactive "session_inactive" BadCredentials "The session was not used for too long",
    SessionRevoked "session_revoked" BadCredentials "The session was revoked",
    SessionBound "session_bound" BadCredentials
        "The session was opened with another User-Agent, or from another address",
    InsufficientScope "insufficient_scope" NotEnough "The token does not have the scopes needed",
    InsufficientRole "insufficient_role" NotEnough "The user does not have the role needed",
    WrongIssuer "wrong_issuer" NotEnough "The token is of another issuer than is needed here",
    WrongClaim "wrong_claim" NotEnough "A claim of the token has another value than is needed here",
    PermissionDenied "permission_denied" NotEnough "The user may not do this",
    LoginTooOld "login_too_old" LoginAgain "The login is too long ago for this",
    NoRoute "no_route" Refused "No route of the policy lets this request pass",
    AmbiguousRequest "ambiguous_request" Refused
        "The request can be read in more than one way, or was not told in full",
    ReadOnlyUser "read_only_user" Refused
        "This user may only read: by GET, HEAD or OPTIONS",
    GatewayCertificateRequired "gateway_certificate_required" Refused
        "The gateway did not show a certificate, which is needed here",
    ClientCertificateRequired "client_certificate_required" Refused
        "A client certificate that is needed here was not shown",
    BadClientCertificate "bad_client_certificate" Refused
        "What the gateway told of the client certificate is not one certificate",
    IdentityTooLarge "identity_too_large" Misconfigured
        "The identity does not fit into the response headers",
    BindingNotTold "binding_not_told" Misconfigured
        "The User-Agent or the address of the client, which sessions are bound to, was not told",
    DpopNotTold "dpop_not_told" Misconfigured
        "The gateway does not tell the request that a DPoP proof is for",
    UnknownRequirement "unknown_requirement" Misconfigured
        "The gateway asked for something that is not understood",
    WrongPath "wrong_path" Misconfigured "The gateway asked at a path that answers no such question",
    UnknownGateway "unknown_gateway" Misconfigured
        "Whoever asked did not prove to be a gateway",
    TooManyAttempts "too_many_attempts" TooMany
        "Too many passwords were tried from this address, or under this name",
    TooManyRequests "too_many_requests" TooMany
        "Too many requests were sent; wait before the next one",
    PasswordsBusy "passwords_busy" Unavailable "Too many passwords are being checked",
    VerificationBusy "verification_busy" Unavailable "Too many new credentials are being verified",
    KeysUnavailable "keys_unavailable" Unavailable "The keys of the issuer are not available",
    IntrospectionUnavailable "introspection_unavailable" Unavailable
        "The issuer of the token gives no answer",
    StoreUnavailable "store_unavailable" Unavailable "The session store is not available",
    ReplayMemoryUnavailable "replay_memory_unavailable" Unavailable
        "DPoP proofs cannot be remembered now",
    AuthorizerUnavailable "authorizer_unavailable" Unavailable "The authorizer gives no answer",
    RequestLimitUnavailable "request_limit_unavailable" Unavailable
        "Requests cannot be counted now",
}

impl From<IdentityError> for DenialCode {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::TooLarge => Self::IdentityTooLarge,
            IdentityError::NotAnInteger => Self::BadClaim,
        }
    }
}

impl From<TokenError> for DenialCode {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::TooLarge => Self::TokenTooLarge,
            TokenError::Malformed => Self::TokenMalformed,
            TokenError::UnsupportedAlgorithm => Self::UnsupportedAlgorithm,
            TokenError::UnsupportedHeader => Self::UnsupportedHeader,
            TokenError::WrongType => Self::WrongType,
            TokenError::BadClaim(_) => Self::BadClaim,
            TokenError::UnknownIssuer => Self::UnknownIssuer,
            TokenError::UnknownKey => Self::UnknownKey,
            TokenError::BadSignature => Self::BadSignature,
            TokenError::Expired => Self::TokenExpired,
            TokenError::NotYetValid => Self::TokenNotYetValid,
            TokenError::WrongAudience => Self::WrongAudience,
            TokenError::UnknownConfirmation => Self::UnknownConfirmation,
            TokenError::SessionRequired => Self::SessionRequired,
            TokenError::KeysUnavailable => Self::KeysUnavailable,
        }
    }
}

impl From<NotBound> for DenialCode {
    fn from(reason: NotBound) -> Self {
        match reason {
            NotBound::NotTold => Self::BindingNotTold,
            NotBound::Mismatch => Self::SessionBound,
        }
    }
}

impl From<&NotLive> for DenialCode {
    fn from(reason: &NotLive) -> Self {
        match reason {
            NotLive::Unknown => Self::SessionUnknown,
            NotLive::Ended(Ended::Expired) => Self::SessionExpired,
            NotLive::Ended(Ended::Inactive) => Self::SessionInactive,
            NotLive::Ended(Ended::Revoked) => Self::SessionRevoked,
            NotLive::Store(_) => Self::StoreUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_words_and_stand_at_their_own_index() {
        for (index, code) in DenialCode::ALL.iter().enumerate() {
            assert_eq!(*code as usize, index);
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }

    #[test]
    fn descriptions_fit_into_a_quoted_string() {
        for code in DenialCode::ALL {
            let fits = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
            assert!(code.description().bytes().all(fits), "{code:?}");
        }
    }
}
