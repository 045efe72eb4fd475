//! The templates of mails: ours, or an operator's of the same names, all tried out at the start.
//!
//! `NAME.txt` opens with a line `Subject: ...` and an empty one; `NAME.html` is the same as HTML,
//! where every value is escaped.

use std::path::Path;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::Content;

/// Kinds of mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Letter {
    /// A link that shows that an e-mail is the user's.
    VerifyEmail,
    /// A word to the owner of an e-mail with which somebody signed up again.
    AccountExists,
    /// A link that sets another password.
    ResetPassword,
    /// A link that shows that the new e-mail is the user's.
    ChangeEmail,
    /// A link to sign up with.
    Invitation,
    /// A word that the password was changed.
    PasswordChanged,
    /// A word to the old e-mail that there is another one.
    EmailChanged,
}

/// The values that all templates may use. What a mail is not about is empty.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Values {
    /// The name of the service.
    pub service: String,
    /// The name of the one it is written to: full name, or else username.
    pub name: String,
    /// The e-mail that it is about.
    pub email: String,
    /// The one-time link.
    pub link: String,
    /// The token that is in it.
    pub token: String,
    /// The minutes for which it is good.
    pub minutes: u64,
}

/// A template that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the mail template {file}: {problem}")]
pub struct TemplateError {
    /// Its file.
    pub file: String,
    /// The problem.
    pub problem: String,
}

/// All templates, compiled.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

macro_rules! built_in {
    ($($letter:ident = $name:literal;)*) => {
        impl Letter {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$letter),*];

            /// The name of its files.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$letter => $name,)*
                }
            }
        }

        /// Our own templates, by the names of their files.
        const BUILT_IN: &[(&str, &str)] = &[$(
            (concat!($name, ".txt"), include_str!(concat!("templates/", $name, ".txt"))),
            (concat!($name, ".html"), include_str!(concat!("templates/", $name, ".html"))),
        )*];
    };
}

built_in! {
    VerifyEmail = "verify-email";
    AccountExists = "account-exists";
    ResetPassword = "reset-password";
    ChangeEmail = "change-email";
    Invitation = "invitation";
    PasswordChanged = "password-changed";
    EmailChanged = "email-changed";
}

impl Templates {
    /// Our templates, in whose place those of `folder` are used; each is tried out.
    ///
    /// # Errors
    /// [`TemplateError`] of the first that cannot be read, compiled or filled in.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut all = Environment::new();
        // A value that there is not is a slip of who wrote the template.
        all.set_undefined_behavior(UndefinedBehavior::Strict);
        all.set_auto_escape_callback(|name| {
            if name.rsplit('.').next() == Some("html") {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        for (name, text) in BUILT_IN {
            let text = match folder.map(|folder| std::fs::read_to_string(folder.join(name))) {
                Some(Ok(own)) => own,
                Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(problem(name, &error));
                }
                _ => (*text).to_owned(),
            };
            all.add_template_owned(*name, text).map_err(|error| problem(name, &error))?;
        }
        let all = Self(all);
        for letter in Letter::ALL {
            all.render(*letter, &sample())?;
        }
        Ok(all)
    }

    /// A mail of that kind with these values.
    ///
    /// # Errors
    /// [`TemplateError`] where a template fails on these values.
    pub fn render(&self, letter: Letter, values: &Values) -> Result<Content, TemplateError> {
        let fill = |ending: &str| {
            let file = format!("{}.{ending}", letter.name());
            let filled =
                self.0.get_template(&file).and_then(|template| template.render(Serde(values)));
            filled.map_err(|error| problem(&file, &error))
        };
        let (text, html) = (fill("txt")?, fill("html")?);
        let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
        let subject = head.trim().strip_prefix("Subject:").map(str::trim);
        let Some(subject) = subject.filter(|subject| !subject.is_empty()) else {
            let file = format!("{}.txt", letter.name());
            return Err(problem(&file, &"its first line is not `Subject: ...`"));
        };
        let (subject, text) =
            (subject.to_owned(), body.trim_start_matches(['\r', '\n']).to_owned());
        Ok(Content { subject, text, html })
    }
}

fn problem(file: &str, problem: &dyn std::fmt::Display) -> TemplateError {
    TemplateError { file: file.to_owned(), problem: problem.to_string() }
}

/// Values by which templates are tried out.
fn sample() -> Values {
    Values {
        service: "accounts.example.org".to_owned(),
        name: "Alice".to_owned(),
        email: "alice@example.org".to_owned(),
        link: "https://accounts.example.org/#token".to_owned(),
        token: "token".to_owned(),
        minutes: 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_letter_says_its_link_in_both_forms_and_escapes_values_in_html_alone() {
        let templates = Templates::load(None).expect("our templates");
        let name = "<b>Alice</b> & \"co\"";
        let link = "https://app.example/?a=1&b=2#t";
        let values = Values { name: name.to_owned(), link: link.to_owned(), ..sample() };
        for letter in Letter::ALL {
            let Content { subject, text, html } = templates.render(*letter, &values).expect("it");
            assert!(!subject.is_empty() && !subject.contains('\n'), "{letter:?}: {subject}");
            assert!(text.contains(name), "{letter:?}: {text}");
            assert!(!html.contains("<b>Alice") && html.contains("&lt;b&gt;Alice"), "{letter:?}");
            let tells = ![Letter::AccountExists, Letter::PasswordChanged, Letter::EmailChanged]
                .contains(letter);
            assert_eq!(text.contains(link), tells, "{letter:?}: {text}");
            let escaped = html.contains("?a=1&amp;b=2#t");
            assert_eq!(escaped, tells, "{letter:?}: {html}");
        }
    }

    #[test]
    fn an_operators_templates_are_used_and_a_bad_one_is_found_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("invitation.txt", "Subject: Komm zu {{ service }}\n\n{{ link }}\n");
        let templates = Templates::load(Some(folder.path())).expect("templates");
        let letter = templates.render(Letter::Invitation, &sample()).expect("a letter");
        assert_eq!(letter.subject, "Komm zu accounts.example.org");
        assert_eq!(letter.text, "https://accounts.example.org/#token");
        assert!(letter.html.contains("Alice") || letter.html.contains("invite"), "ours");
        for bad in
            ["Subject: {{ link", "no subject\n\n", "Subject: x\n\n{{ lnk }}", "Subject:\n\nx"]
        {
            write("invitation.txt", bad);
            let refused = Templates::load(Some(folder.path())).expect_err(bad).to_string();
            assert!(refused.contains("invitation.txt"), "{refused}");
        }
    }
}
