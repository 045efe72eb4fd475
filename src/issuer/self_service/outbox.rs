//! Mails on their way: a bounded number of jobs, done after whoever asked was answered, so that no
//! answer's time tells what was found.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::account::{Login, SentMail, User, UserKind, UserState};
use crate::issuer::audit::{Audit, Event};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;
use crate::issuer::metrics::IssuerMetrics;
use crate::issuer::users::links::{Links, NewLink, Purpose};
use crate::issuer::users::{Actor, Users};
use crate::mail::{Letter, MailError, Smtp, Templates, Values};
use crate::session::UserId;

/// Mails that are under way to the server at once.
const AT_ONCE: usize = 4;
/// The waits before a mail is tried again, while the server does not answer.
const WAITS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// The way to the mail server, and what mails say.
#[derive(Clone, Debug)]
pub struct Mailer {
    /// The server.
    pub smtp: Smtp,
    /// The templates.
    pub templates: Arc<Templates>,
    /// The name of the service.
    pub service: String,
    /// The page that links lead to, with `{purpose}` and `{token}`.
    pub link_url: String,
    /// The most mails that may wait.
    pub queue: usize,
}

/// Work to be done once the caller was answered.
#[derive(Debug)]
pub(super) enum Job {
    /// Adds who signed up, or tells the owner of the e-mail.
    SignUp(Box<User>, Caller),
    /// Sends a link that verifies the e-mail, if it is one's.
    Verification(Login),
    /// Sends a link that sets another password, if it is one's.
    Reset(Login),
    /// Sends a link to a user's new e-mail.
    ChangeEmail { user: UserId, email: Login },
    /// Sends this.
    Letter(Box<Outgoing>),
}

/// A mail and its addressee.
#[derive(Debug)]
pub(super) struct Outgoing {
    letter: Letter,
    to: Login,
    name: String,
    email: String,
    link: Option<NewLink>,
    note: Option<(UserId, SentMail)>,
}

impl Outgoing {
    /// A link, for a user or for somebody who is none yet.
    pub(super) fn link(link: NewLink, user: Option<&User>) -> Self {
        let (letter, sent) = match link.purpose {
            Purpose::VerifyEmail => (Letter::VerifyEmail, Some(SentMail::Verification)),
            Purpose::ResetPassword => (Letter::ResetPassword, Some(SentMail::Reset)),
            Purpose::ChangeEmail => (Letter::ChangeEmail, None),
            Purpose::Invitation => (Letter::Invitation, None),
        };
        Self {
            letter,
            to: link.email.clone(),
            // What an unverified user is called was written by a stranger, and may be anything.
            name: user
                .filter(|user| user.state != UserState::Unverified)
                .map_or_else(|| link.email.as_str().to_owned(), name_of),
            email: link.email.as_str().to_owned(),
            note: user.and_then(|user| Some((user.id.clone(), sent?))),
            link: Some(link),
        }
    }

    /// A word to the owner of an address about a user.
    pub(super) fn notice(letter: Letter, user: &User, to: &Login) -> Self {
        let email = user.email.as_ref().map_or("", Login::as_str).to_owned();
        Self { letter, to: to.clone(), name: name_of(user), email, link: None, note: None }
    }
}

fn name_of(user: &User) -> String {
    user.full_name.clone().unwrap_or_else(|| user.username.as_str().to_owned())
}

/// Jobs under way. A clone is the same.
#[derive(Clone, Debug)]
pub struct Outbox {
    parts: Arc<Parts>,
    room: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    tracker: TaskTracker,
}

#[derive(Debug)]
struct Parts {
    mailer: Mailer,
    users: Users,
    links: Links,
    audit: Audit,
    metrics: IssuerMetrics,
}

impl Outbox {
    pub(super) fn new(
        mailer: Mailer,
        users: Users,
        links: Links,
        audit: Audit,
        metrics: IssuerMetrics,
    ) -> Self {
        let room = Arc::new(Semaphore::new(mailer.queue));
        let parts = Arc::new(Parts { mailer, users, links, audit, metrics });
        let (sending, tracker) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
        Self { parts, room, sending, tracker }
    }

    /// Takes a job, to be done after this returns.
    ///
    /// # Errors
    /// [`IssueError::Busy`] where too many wait.
    pub(super) fn put(&self, job: Job) -> Result<(), IssueError> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.parts.metrics.mail("dropped");
            return Err(IssueError::Busy);
        };
        let (parts, sending) = (Arc::clone(&self.parts), Arc::clone(&self.sending));
        self.tracker.spawn(async move {
            let _place = place;
            let Ok(_turn) = sending.acquire().await else { return };
            if let Err(error) = parts.run(job).await {
                error.log();
            }
        });
        Ok(())
    }

    /// Waits until nothing is under way; to be called when nobody asks any more.
    pub(super) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Parts {
    async fn run(&self, job: Job) -> Result<(), IssueError> {
        match job {
            Job::SignUp(user, caller) => self.sign_up(*user, &caller).await,
            Job::Verification(email) => match self.users.by_login(&email).await? {
                Some(user) if is_unverified(&user) && user.email.as_ref() == Some(&email) => {
                    self.send_link(Purpose::VerifyEmail, &user, &email).await
                }
                _ => Ok(()),
            },
            Job::Reset(email) => match self.users.by_login(&email).await? {
                Some(user) if may_reset(&user) && user.email.as_ref() == Some(&email) => {
                    self.send_link(Purpose::ResetPassword, &user, &email).await
                }
                _ => Ok(()),
            },
            Job::ChangeEmail { user, email } => {
                let user = self.users.get(&user).await?;
                match self.users.by_login(&email).await? {
                    Some(owner) if owner.id != user.id => {
                        self.send(Outgoing::notice(Letter::AccountExists, &owner, &email)).await
                    }
                    _ => self.send_link(Purpose::ChangeEmail, &user, &email).await,
                }
            }
            Job::Letter(letter) => self.send(*letter).await,
        }
    }

    async fn sign_up(&self, user: User, caller: &Caller) -> Result<(), IssueError> {
        let Some(email) = user.email.clone() else { return Ok(()) };
        let actor = Actor::Owner(caller);
        let taken = match self.users.add(user, None, actor).await {
            Ok(user) => return self.send_link(Purpose::VerifyEmail, &user, &email).await,
            Err(IssueError::Taken(_)) => self.users.by_login(&email).await?,
            Err(error) => return Err(error),
        };
        match taken.filter(|owner| owner.email.as_ref() == Some(&email)) {
            // Nobody knows who made the account, so no stranger's password is stored in it. Who reads
            // the mail sets one by the link, which verifies the e-mail too.
            Some(owner) if owner.state == UserState::Unverified => {
                self.send_link(Purpose::ResetPassword, &owner, &email).await
            }
            Some(owner) => self.send(Outgoing::notice(Letter::AccountExists, &owner, &email)).await,
            None => Ok(()),
        }
    }

    async fn send_link(
        &self,
        purpose: Purpose,
        user: &User,
        email: &Login,
    ) -> Result<(), IssueError> {
        let link = self.links.for_user(purpose, user, email)?;
        let event = self.audit.event(Event::LinkMade).user(user.id.as_str());
        event.reason(purpose.as_str()).write();
        self.send(Outgoing::link(link, Some(user))).await
    }

    /// Sends a mail, again where the server does not answer. A failure is logged without the
    /// address, and counted.
    async fn send(&self, mail: Outgoing) -> Result<(), IssueError> {
        let outcome = self.try_to_send(&mail).await;
        self.metrics.mail(if outcome.is_ok() { "sent" } else { "failed" });
        match outcome {
            Ok(()) => match &mail.note {
                Some((user, sent)) => self.users.record_sent(user, *sent).await,
                None => Ok(()),
            },
            Err(error) => {
                tracing::error!(letter = mail.letter.name(), %error, "a mail was not sent");
                Ok(())
            }
        }
    }

    async fn try_to_send(&self, mail: &Outgoing) -> Result<(), MailError> {
        let values = self.values(mail);
        let content = self.mailer.templates.render(mail.letter, &values);
        let content = content.map_err(|error| MailError::Refused(error.to_string()))?;
        let mut waits = WAITS.into_iter();
        loop {
            match self.mailer.smtp.send(mail.to.as_str(), &content).await {
                Err(MailError::Unavailable(problem)) => match waits.next() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(MailError::Unavailable(problem)),
                },
                outcome => return outcome,
            }
        }
    }

    fn values(&self, mail: &Outgoing) -> Values {
        let token = mail.link.as_ref().map(|link| link.token.to_text()).unwrap_or_default();
        let purpose = mail.link.as_ref().map_or("", |link| link.purpose.as_str());
        let url = self.mailer.link_url.replace("{purpose}", purpose).replace("{token}", &token);
        Values {
            service: self.mailer.service.clone(),
            name: mail.name.clone(),
            email: mail.email.clone(),
            link: if mail.link.is_some() { url } else { String::new() },
            minutes: mail.link.as_ref().map_or(0, |link| link.lifetime.as_secs() / 60),
            token,
        }
    }
}

/// True for who may be sent a link that verifies the e-mail.
fn is_unverified(user: &User) -> bool {
    !user.email_verified && user.state != UserState::Locked
}

/// True for a person who may set another password by mail.
fn may_reset(user: &User) -> bool {
    user.kind == UserKind::Person && user.state != UserState::Locked
}
