//! The requests by name, and the parameters of each: which must be there, and of what type.
//!
//! The types are strict where authnzerver's are not: `true` is no number, and a type that may be
//! null admits null beside its own values, and not everything.

use serde_json::{Map, Value, json};

use super::answer::Answer;

/// A type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// A text.
    Str,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// True or false.
    Bool,
    /// An object.
    Dict,
    /// A user: a number, or the id of one who has another id.
    User,
    /// Anything but null.
    Any,
    /// Null.
    None,
}

/// A parameter of a request.
#[derive(Debug)]
struct Parameter {
    name: &'static str,
    types: &'static [Type],
    is_required: bool,
}

/// Makes the enum of requests, and the table of their parameters: in parentheses those that must be
/// there, in brackets the others.
macro_rules! requests {
    ($($variant:ident $name:literal
        ($($required:ident: $($type:ident)|+),*) [$($optional:ident: $($kind:ident)|+),*];)*) => {
        /// A request, by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Request {
            $(#[doc = $name] $variant,)*
        }

        impl Request {
            /// All of them.
            const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn parameters(self) -> &'static [Parameter] {
                match self {
                    $(Self::$variant => &[
                        $(Parameter {
                            name: stringify!($required),
                            types: &[$(Type::$type),+],
                            is_required: true,
                        },)*
                        $(Parameter {
                            name: stringify!($optional),
                            types: &[$(Type::$kind),+],
                            is_required: false,
                        },)*
                    ],)*
                }
            }
        }
    };
}

requests! {
    SessionNew "session-new" (ip_address: Str, user_agent: Str, user_id: User | None, expires: Str,
        extra_info_json: Dict | None) [];
    SessionExists "session-exists" (session_token: Str) [];
    SessionDelete "session-delete" (session_token: Str) [];
    SessionDeleteUserid "session-delete-userid" (session_token: Str, user_id: User,
        keep_current_session: Bool) [];
    UserLogin "user-login" (session_token: Str, email: Str, password: Str) [];
    UserLogout "user-logout" (session_token: Str, user_id: User) [];
    UserPasscheck "user-passcheck" (session_token: Str, password: Str) [];
    UserPasscheckNosession "user-passcheck-nosession" (email: Str, password: Str) [];
    UserNew "user-new" (full_name: Str, email: Str, password: Str)
        [extra_info: Dict | None, verify_retry_wait: Int | None, system_id: Str | None];
    UserChangepass "user-changepass" (user_id: User, session_token: Str, full_name: Str, email: Str,
        current_password: Str, new_password: Str) [];
    UserChangepassNosession "user-changepass-nosession" (user_id: User, full_name: Str, email: Str,
        current_password: Str, new_password: Str) [];
    UserDelete "user-delete" (email: Str, user_id: User, password: Str) [];
    UserList "user-list" (user_id: User | None) [];
    UserLookupEmail "user-lookup-email" (email: Str) [];
    UserLookupMatch "user-lookup-match" (by: Str, match: Any) [];
    UserEdit "user-edit" (user_id: User, user_role: Str, session_token: Str, target_userid: User,
        update_dict: Dict) [];
    UserResetpass "user-resetpass" (email_address: Str, new_password: Str, session_token: Str) [];
    UserResetpassNosession "user-resetpass-nosession" (email_address: Str, new_password: Str,
        required_active: Bool) [];
    UserLock "user-lock" (user_id: User, user_role: Str, session_token: Str, target_userid: User,
        action: Str) [];
    UserValidatepass "user-validatepass" (password: Str, email: Str, full_name: Str)
        [min_pass_length: Int, max_unsafe_similarity: Int, max_character_frequency: Float,
        min_pwned_matches: Int];
    UserSendemailSignup "user-sendemail-signup" (email_address: Str, session_token: Str,
        created_info: Dict, server_name: Str, server_baseurl: Str, server_verify_url: Str,
        verification_token: Str, verification_expiry: Int)
        [emailuser: Str | None, emailpass: Str | None, emailserver: Str, emailport: Int,
        emailsender: Str];
    UserSendemailForgotpass "user-sendemail-forgotpass" (email_address: Str, session_token: Str,
        server_name: Str, server_baseurl: Str, password_forgot_url: Str, verification_token: Str,
        verification_expiry: Int)
        [emailuser: Str | None, emailpass: Str | None, emailserver: Str, emailport: Int,
        emailsender: Str];
    UserSetEmailverified "user-set-emailverified" (email: Str) [];
    UserSetEmailsent "user-set-emailsent" (email: Str, email_type: Str) [];
    ApikeyNew "apikey-new" (issuer: Str, audience: Str, subject: Str, apiversion: Str | Int,
        expires_days: Int, not_valid_before: Float, user_id: User, user_role: Str, ip_address: Str,
        user_agent: Str, session_token: Str) [];
    ApikeyVerify "apikey-verify" (apikey_dict: Dict, user_id: User, user_role: Str) [];
    ApikeyRevoke "apikey-revoke" (apikey_dict: Dict, user_id: User, user_role: Str) [];
    ApikeyNewNosession "apikey-new-nosession" (issuer: Str, audience: Str, subject: Str,
        apiversion: Str | Int, expires_seconds: Int, not_valid_before: Float, user_id: User,
        user_role: Str, ip_address: Str, refresh_expires: Int, refresh_nbf: Float) [];
    ApikeyVerifyNosession "apikey-verify-nosession" (apikey_dict: Dict, user_id: User,
        user_role: Str) [];
    ApikeyRevokeNosession "apikey-revoke-nosession" (apikey_dict: Dict, user_id: User,
        user_role: Str) [];
    ApikeyRevokeallNosession "apikey-revokeall-nosession" (apikey_dict: Dict, user_id: User,
        user_role: Str) [];
    ApikeyRefreshNosession "apikey-refresh-nosession" (apikey_dict: Dict, user_id: User,
        user_role: Str, refresh_token: Str, ip_address: Str, expires_seconds: Int,
        not_valid_before: Float, refresh_expires: Int, refresh_nbf: Float) [];
    UserCheckAccess "user-check-access" (user_id: User, user_role: Str, action: Str,
        target_name: Str, target_owner: User, target_visibility: Str, target_sharedwith: Str) [];
    UserCheckLimit "user-check-limit" (user_id: User, user_role: Str, limit_name: Str,
        value_to_check: Any) [];
    InternalUserLock "internal-user-lock" (target_userid: User, action: Str) [];
    InternalUserDelete "internal-user-delete" (target_userid: User) [];
    InternalUserEdit "internal-user-edit" (target_userid: User, update_dict: Dict) [];
    InternalSessionEdit "internal-session-edit" (target_session_token: Str, update_dict: Dict) [];
}

impl Type {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Str => value.is_string(),
            Self::Int => value.is_i64(),
            Self::Float => value.is_number(),
            Self::Bool => value.is_boolean(),
            Self::Dict => value.is_object(),
            Self::User => value.is_i64() || value.as_str().is_some_and(|id| !id.is_empty()),
            Self::Any => !value.is_null(),
            Self::None => value.is_null(),
        }
    }

    /// Its name in authnzerver's list of problems.
    fn name(self) -> &'static str {
        match self {
            Self::Str => "str",
            Self::Int | Self::User => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Dict => "dict",
            Self::Any => "Any",
            Self::None => "None",
        }
    }
}

impl Parameter {
    /// The problem of its value in a body, if there is one. Null stands for what may be left out.
    fn problem(&self, body: &Map<String, Value>) -> Option<Value> {
        let problem = match body.get(self.name) {
            None if self.is_required => "missing",
            None => return None,
            Some(Value::Null) if !self.is_required => return None,
            Some(value) if self.types.iter().any(|kind| kind.admits(value)) => return None,
            Some(_) => "incorrect type",
        };
        let required_type = match self.types {
            [one] => json!(one.name()),
            several => several.iter().map(|kind| kind.name()).collect(),
        };
        Some(json!({
            "param": self.name,
            "problem": problem,
            "required_type": required_type,
            "required_param": self.is_required,
        }))
    }
}

impl Request {
    /// The request of that name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|request| request.name() == name)
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// The answer that lists what is wrong, which nests twice as authnzerver's does.
    pub(super) fn check(self, body: Map<String, Value>) -> Result<Parameters, Box<Answer>> {
        let problems = self.parameters().iter().filter_map(|parameter| parameter.problem(&body));
        let problems: Vec<_> = problems.collect();
        if problems.is_empty() {
            return Ok(Parameters(body));
        }
        let message = format!("request '{}' has invalid parameters", self.name());
        let nested =
            json!({ "problems": problems, "failure_reason": "invalid request parameters" });
        Err(Box::new(Answer::refused(message).with("response", nested)))
    }
}

/// The checked parameters of a request. What was not checked reads as absent.
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    /// A text; empty where it is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or_default()
    }

    /// A text that may be absent.
    pub(super) fn optional_text(&self, name: &str) -> Option<&str> {
        self.value(name).as_str()
    }

    /// A whole number.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.value(name).as_i64()
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.value(name).as_f64()
    }

    /// True or false.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name).as_bool().unwrap_or_default()
    }

    /// An object that may be absent.
    pub(super) fn object(&self, name: &str) -> Option<&Map<String, Value>> {
        self.value(name).as_object()
    }

    /// The value as it came; null where it is absent.
    pub(super) fn value(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, body: &Value) -> Result<(), Value> {
        let request = Request::parse(name).expect("a request");
        let body = body.as_object().cloned().expect("an object");
        request.check(body).map(drop).map_err(|answer| {
            let answer = answer.render(&json!(1));
            answer["response"]["response"]["problems"].clone()
        })
    }

    #[test]
    fn there_are_38_requests_and_each_is_found_by_its_name() {
        assert_eq!(Request::ALL.len(), 38);
        for request in Request::ALL {
            assert_eq!(Request::parse(request.name()), Some(*request));
        }
        for name in ["", "echo", "SESSION-NEW", "session_new", "user-signup-email"] {
            assert_eq!(Request::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_listed_in_the_order_of_the_table() {
        assert_eq!(
            check("session-delete-userid", &json!({ "user_id": true, "session_token": "t" })),
            Err(json!([
                {
                    "param": "user_id", "problem": "incorrect type",
                    "required_type": "int", "required_param": true,
                },
                {
                    "param": "keep_current_session", "problem": "missing",
                    "required_type": "bool", "required_param": true,
                },
            ]))
        );
        let new = json!({ "full_name": "A", "email": "a", "password": "p", "system_id": 7 });
        assert_eq!(
            check("user-new", &new),
            Err(json!([{
                "param": "system_id", "problem": "incorrect type",
                "required_type": ["str", "None"], "required_param": false,
            }]))
        );
    }

    #[test]
    fn each_type_admits_its_own_values_and_no_others() {
        let values = [
            json!(null),
            json!(true),
            json!(1),
            json!(1.5),
            json!("t"),
            json!(""),
            json!({}),
            json!([]),
        ];
        let yes = |kind: Type| values.iter().filter(|it| kind.admits(it)).cloned().collect();
        for (kind, expected) in [
            (Type::Str, json!(["t", ""])),
            (Type::Int, json!([1])),
            (Type::Float, json!([1, 1.5])),
            (Type::Bool, json!([true])),
            (Type::Dict, json!([{}])),
            (Type::User, json!([1, "t"])),
            (Type::Any, json!([true, 1, 1.5, "t", "", {}, []])),
            (Type::None, json!([null])),
        ] {
            assert_eq!(Value::Array(yes(kind)), expected, "{kind:?}");
        }
        assert!(!Type::Int.admits(&json!(u64::MAX)), "no id is as large");
    }

    #[test]
    fn null_stands_for_what_may_be_left_out_and_for_nothing_else() {
        assert_eq!(check("user-list", &json!({ "user_id": null })), Ok(()));
        assert!(check("user-list", &json!({})).is_err());
        assert!(check("session-exists", &json!({ "session_token": null })).is_err());
        let policy = json!({
            "password": "p", "email": "e", "full_name": "n", "min_pass_length": null,
        });
        assert_eq!(check("user-validatepass", &policy), Ok(()));
    }
}
