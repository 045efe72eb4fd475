//! Answers: the outcome of a request with its fields, as authnzerver's client reads it.

use serde_json::{Map, Value, json};

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    is_success: bool,
    fields: Map<String, Value>,
    messages: Vec<String>,
    failure_reason: Option<String>,
}

impl Answer {
    /// Success, with a message for the user.
    pub(super) fn success(message: impl Into<String>) -> Self {
        Self {
            is_success: true,
            fields: Map::new(),
            messages: vec![message.into()],
            failure_reason: None,
        }
    }

    /// Failure, with a message for the user and no reason.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { is_success: false, ..Self::success(message) }
    }

    /// Failure for a reason that the user must not be told, and a message for the user.
    pub(super) fn failure(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { failure_reason: Some(reason.into()), ..Self::refused(message) }
    }

    /// Adds a field.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds messages for the user.
    pub(super) fn and(mut self, messages: impl IntoIterator<Item = String>) -> Self {
        self.messages.extend(messages);
        self
    }

    /// The whole, for the request with this id.
    pub(super) fn render(self, reqid: &Value) -> Value {
        let Self { is_success, mut fields, messages, failure_reason } = self;
        fields.insert("success".to_owned(), json!(is_success));
        fields.insert("messages".to_owned(), json!(messages));
        let mut whole = json!({ "success": is_success, "messages": messages, "reqid": reqid });
        if let Some(reason) = failure_reason {
            fields.insert("failure_reason".to_owned(), json!(reason));
            whole["failure_reason"] = json!(reason);
        }
        whole["response"] = Value::Object(fields);
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_stands_there_twice_and_has_no_reason() {
        let answer = Answer::success("Done.").with("user_id", 7).and(["More.".to_owned()]);
        assert_eq!(
            answer.render(&json!("r1")),
            json!({
                "success": true,
                "messages": ["Done.", "More."],
                "reqid": "r1",
                "response": { "user_id": 7, "success": true, "messages": ["Done.", "More."] },
            })
        );
    }

    #[test]
    fn the_reason_of_a_failure_stands_inside_and_outside() {
        let answer = Answer::failure("no such user", "It failed.").with("user_info", Value::Null);
        assert_eq!(
            answer.render(&json!(3)),
            json!({
                "success": false,
                "messages": ["It failed."],
                "reqid": 3,
                "failure_reason": "no such user",
                "response": {
                    "user_info": null, "success": false, "messages": ["It failed."],
                    "failure_reason": "no such user",
                },
            })
        );
    }
}
