//! Scopes of tokens: those asked for, narrowed by all who have a say, never widened.

use super::error::IssueError;
use crate::token::is_scope;

/// Reads the `scope` parameter (RFC 6749, section 3.3): each scope once, in order. `None` where
/// nothing is asked for.
///
/// # Errors
/// [`IssueError::InvalidScope`] for what is not in the grammar.
pub(super) fn parse(text: Option<&str>) -> Result<Option<Vec<String>>, IssueError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
        if !is_scope(scope) {
            return Err(IssueError::InvalidScope);
        }
        if !scopes.iter().any(|present| present == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Ok(Some(scopes).filter(|scopes| !scopes.is_empty()))
}

/// The scopes to grant: what `asked` and every one of the `limits` agree on. A limit that is `None`
/// does not limit. Where nothing is asked for, it is all that is allowed.
///
/// # Errors
/// [`IssueError::InvalidScope`] where something was asked for and nothing of it may be granted.
pub(super) fn narrow(
    asked: Option<&[String]>,
    limits: &[Option<&[String]>],
) -> Result<Vec<String>, IssueError> {
    let mut limiting = limits.iter().flatten();
    let allows = |scope: &String| limits.iter().flatten().all(|limit| limit.contains(scope));
    let granted: Vec<String> = match asked {
        Some(asked) => asked.iter().filter(|scope| allows(scope)).cloned().collect(),
        None => match limiting.next() {
            Some(first) => first.iter().filter(|scope| allows(scope)).cloned().collect(),
            None => Vec::new(),
        },
    };
    if asked.is_some() && granted.is_empty() {
        return Err(IssueError::InvalidScope);
    }
    Ok(granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn scopes_are_narrowed_by_every_limit() {
        for (asked, user, client, expected) in [
            (None, Some("a b c"), Some("b c d"), Ok("b c")),
            (None, Some("a"), None, Ok("a")),
            (None, None, None, Ok("")),
            (None, Some("a"), Some("b"), Ok("")),
            (Some("a"), Some("a b"), None, Ok("a")),
            (Some("a z"), Some("a b"), Some("a"), Ok("a")),
            (Some("z"), Some("a"), None, Err(IssueError::InvalidScope)),
            (Some("a"), Some(""), None, Err(IssueError::InvalidScope)),
        ] {
            let (user, client) = (user.map(list), client.map(list));
            let granted = narrow(asked.map(list).as_deref(), &[user.as_deref(), client.as_deref()]);
            assert_eq!(granted, expected.map(list), "{asked:?} {user:?} {client:?}");
        }
    }

    #[test]
    fn a_scope_outside_the_grammar_is_refused() {
        for text in ["a\tb", "a\"b", "a\\b", "é", "\n"] {
            assert_eq!(parse(Some(text)), Err(IssueError::InvalidScope), "{text:?}");
        }
        assert_eq!(parse(Some("  ")), Ok(None));
        assert_eq!(parse(Some("b a b ")), Ok(Some(list("b a"))));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_ever_granted_that_a_limit_does_not_hold(
            asked in proptest::option::of(proptest::collection::vec("[a-d]", 0..5)),
            user in proptest::collection::vec("[a-d]", 0..5),
            client in proptest::option::of(proptest::collection::vec("[a-d]", 0..5)),
        ) {
            if let Ok(granted) = narrow(asked.as_deref(), &[Some(&user), client.as_deref()]) {
                for scope in granted {
                    proptest::prop_assert!(user.contains(&scope));
                    proptest::prop_assert!(client.as_ref().is_none_or(|it| it.contains(&scope)));
                    proptest::prop_assert!(asked.as_ref().is_none_or(|it| it.contains(&scope)));
                }
            }
        }
    }
}
