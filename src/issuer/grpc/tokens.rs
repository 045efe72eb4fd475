//! `portcullis.v1.TokenService`: what resource servers and other services ask, answered by
//! [`Issuance`] alone.

use std::sync::Arc;

use serde_json::Value;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::caller_of;
use super::generated::v1::revoke_request::Target;
use super::generated::v1::token_service_server::TokenService;
use super::generated::v1::{
    AllSessions, ClientCredentials, Device, ListSessionsRequest, ListSessionsResponse,
    RefreshRequest, RefreshResponse, RevokeRequest, RevokeResponse, Session, ValidateRequest,
    ValidateResponse,
};
use super::value::{structure, timestamp};
use crate::account::Client;
use crate::issuer::audit::Event;
use crate::issuer::caller::{Caller, bearer_token};
use crate::issuer::error::IssueError;
use crate::issuer::issued::Issued;
use crate::issuer::read_only;
use crate::issuer::revocation::{Bearer, MAX_LISTED};
use crate::issuer::{Issuance, client_auth, refresh, scopes};
use crate::policy::ReadOnlyRoles;
use crate::secret::Secret;
use crate::session::{self, SessionId};
use crate::token::{Claims, Confirmation, is_scope};

/// The service.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) issuance: Arc<Issuance>,
    pub(super) admin_token: Option<Secret>,
    pub(super) read_only: ReadOnlyRoles,
}

/// Principal of a request about sessions.
enum Principal {
    /// Somebody, about his own.
    Bearer(Bearer),
    /// The administrator, about anybody's.
    Administrator,
}

#[tonic::async_trait]
impl TokenService for Tokens {
    async fn refresh(
        &self,
        request: Request<RefreshRequest>,
    ) -> Result<Response<RefreshResponse>, Status> {
        let caller = caller_of(&request);
        let issued = self.refreshed(request.into_inner(), &caller).await?;
        Ok(Response::new(self.answer(&issued)))
    }

    async fn validate(
        &self,
        request: Request<ValidateRequest>,
    ) -> Result<Response<ValidateResponse>, Status> {
        Ok(Response::new(self.validated(request.get_ref()).await?))
    }

    async fn revoke(
        &self,
        request: Request<RevokeRequest>,
    ) -> Result<Response<RevokeResponse>, Status> {
        let caller = caller_of(&request);
        let (metadata, _, asked) = request.into_parts();
        let ended = match asked.target {
            Some(Target::Token(token)) => {
                self.revoke_token(&token, asked.client, &caller).await?;
                0
            }
            Some(Target::SessionId(id)) => self.end_one(&metadata, &id, &caller).await?,
            Some(Target::All(all)) => self.end_all(&metadata, &all, &caller).await?,
            None => return Err(IssueError::invalid_request("target is missing").into()),
        };
        Ok(Response::new(RevokeResponse { ended }))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let caller = caller_of(&request);
        let sessions = self.listed(request.metadata(), &request.get_ref().user_id, &caller).await?;
        Ok(Response::new(ListSessionsResponse { sessions }))
    }
}

impl Tokens {
    async fn refreshed(
        &self,
        asked: RefreshRequest,
        caller: &Caller,
    ) -> Result<Issued, IssueError> {
        let token = required(&asked.refresh_token, "refresh_token")?;
        let scopes = scopes::parse(Some(&asked.scope))?;
        let client = self.client(asked.client, caller).await?;
        if client.as_ref().is_some_and(|client| !client.may_use("refresh_token")) {
            return Err(IssueError::UnauthorizedClient);
        }
        let (client, scopes) = (client.as_ref(), scopes.as_deref());
        let audiences = &[];
        let request = refresh::RefreshRequest { token, client, scopes, audiences, caller };
        self.issuance.refresh.refresh(request).await
    }

    fn answer(&self, issued: &Issued) -> RefreshResponse {
        RefreshResponse {
            access_token: issued.access_token.to_text(),
            token_type: "Bearer".to_owned(),
            expires_in: issued.expires_in(self.issuance.clock.now()),
            refresh_token: issued.refresh_token.as_ref().map(Secret::to_text).unwrap_or_default(),
            scope: issued.scopes.join(" "),
            user_id: issued.user.as_str().to_owned(),
        }
    }

    async fn client(
        &self,
        shown: Option<ClientCredentials>,
        caller: &Caller,
    ) -> Result<Option<Client>, IssueError> {
        let Some(ClientCredentials { client_id, client_secret }) = shown else {
            return Ok(None);
        };
        let id = required(&client_id, "client.client_id")?.to_owned();
        let shown = if client_secret.is_empty() {
            client_auth::ClientCredentials::Public { id, by_header: false }
        } else {
            let secret = Secret::new(client_secret);
            client_auth::ClientCredentials::Secret { id, secret, by_header: false }
        };
        self.issuance.clients.authenticate(&shown, caller).await.map(Some)
    }

    /// Nothing is taken from a bucket: nobody guesses a token, and a resource server asks at each
    /// request.
    async fn validated(&self, asked: &ValidateRequest) -> Result<ValidateResponse, IssueError> {
        let token = required(&asked.token, "token")?;
        if !asked.required_scopes.iter().all(|scope| is_scope(scope)) {
            return Err(IssueError::invalid_request("required_scopes has one scope in each"));
        }
        let found = self.issuance.introspection.introspect(token).await?;
        Ok(found.and_then(|claims| described(claims, &asked.required_scopes)).unwrap_or_default())
    }

    async fn revoke_token(
        &self,
        token: &str,
        client: Option<ClientCredentials>,
        caller: &Caller,
    ) -> Result<(), IssueError> {
        let token = required(token, "token")?;
        let client = self.client(client, caller).await?;
        self.issuance.revocation.revoke(token, client.as_ref(), caller).await
    }

    async fn end_one(
        &self,
        metadata: &MetadataMap,
        id: &str,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        let principal = self.principal(metadata, caller).await?;
        let id = SessionId::parse(id).map_err(|_| IssueError::NotFound)?;
        match principal {
            Principal::Bearer(bearer) => {
                if id != bearer.session {
                    read_only::check(&self.read_only, &self.issuance.users, &bearer).await?;
                }
                self.issuance.revocation.end_own(&bearer, &id, caller).await?;
            }
            Principal::Administrator => {
                if !self.issuance.revocation.end(&id, "administrator", caller).await? {
                    return Err(IssueError::NotFound);
                }
            }
        }
        Ok(1)
    }

    async fn end_all(
        &self,
        metadata: &MetadataMap,
        all: &AllSessions,
        caller: &Caller,
    ) -> Result<u64, IssueError> {
        match self.principal(metadata, caller).await? {
            Principal::Bearer(bearer) => {
                self.check_own(&bearer, &all.user_id, caller)?;
                read_only::check(&self.read_only, &self.issuance.users, &bearer).await?;
                if all.except_current {
                    self.issuance.revocation.end_others(&bearer, caller).await
                } else {
                    self.issuance.revocation.end_all_own(&bearer, caller).await
                }
            }
            Principal::Administrator if all.except_current => {
                Err(IssueError::invalid_request("the administrator has no session to except"))
            }
            Principal::Administrator => {
                self.issuance
                    .revocation
                    .end_all_of(required(&all.user_id, "all.user_id")?, caller)
                    .await
            }
        }
    }

    async fn listed(
        &self,
        metadata: &MetadataMap,
        user: &str,
        caller: &Caller,
    ) -> Result<Vec<Session>, IssueError> {
        let (found, current) = match self.principal(metadata, caller).await? {
            Principal::Bearer(bearer) => {
                self.check_own(&bearer, user, caller)?;
                (self.issuance.revocation.list_own(&bearer).await?, Some(bearer.session))
            }
            Principal::Administrator if user.is_empty() => {
                (self.issuance.revocation.list(None, MAX_LISTED).await?, None)
            }
            Principal::Administrator => (self.issuance.revocation.list_of(user).await?, None),
        };
        Ok(found.iter().map(|session| view(session, current.as_ref())).collect())
    }

    /// The principal of the token that is shown. The administrator's is too long to be guessed:
    /// wrong ones are charged to the address, and the right one is never refused for them.
    async fn principal(
        &self,
        metadata: &MetadataMap,
        caller: &Caller,
    ) -> Result<Principal, IssueError> {
        let token = bearer_token(metadata.as_ref())?.filter(|token| !token.is_empty());
        let token = token.ok_or(IssueError::InvalidToken)?;
        match self.issuance.revocation.bearer(token).await {
            Err(IssueError::InvalidToken) => {}
            answer => return answer.map(Principal::Bearer),
        }
        let shown = Secret::new(token);
        if self.admin_token.as_ref().is_some_and(|kept| *kept == shown) {
            return Ok(Principal::Administrator);
        }
        Err(self.issuance.throttle.failure(IssueError::InvalidToken, caller).await)
    }

    /// Checks that a bearer asks about himself: then he names nobody, or himself.
    fn check_own(&self, bearer: &Bearer, user: &str, caller: &Caller) -> Result<(), IssueError> {
        if user.is_empty() || user == bearer.user.as_str() {
            return Ok(());
        }
        let error = IssueError::Forbidden("these sessions are somebody else's");
        let refused = self.issuance.audit.event(Event::AdminRefused).error(&error);
        refused.user(bearer.user.as_str()).reason("grpc").address(caller.address).write();
        Err(error)
    }
}

/// Describes a good token; `None` where it is good for something else, or cannot be read.
fn described(
    mut claims: serde_json::Map<String, Value>,
    required: &[String],
) -> Option<ValidateResponse> {
    // Whoever asks is about to let somebody in, and a refresh token lets nobody in.
    if claims.get("token_type").and_then(Value::as_str) == Some("refresh_token") {
        return None;
    }
    claims.remove("active");
    let read = Claims::from(&claims);
    // Nobody proves here that he is the one whom it is bound to.
    if !Confirmation::of(&read).is_ok_and(|demanded| demanded.is_empty()) {
        return None;
    }
    let granted = read.scopes().ok()?;
    let missing_scopes: Vec<_> =
        required.iter().filter(|scope| !granted.contains(scope)).cloned().collect();
    if !missing_scopes.is_empty() {
        return Some(ValidateResponse { missing_scopes, ..ValidateResponse::default() });
    }
    let text = |name| read.text(name).ok().flatten().unwrap_or_default().into_owned();
    Some(ValidateResponse {
        active: true,
        missing_scopes,
        user_id: read.subject().ok()??,
        session_id: text("sid"),
        client_id: text("client_id"),
        scopes: granted.iter().map(str::to_owned).collect(),
        expires: read.time("exp").ok()?.map(timestamp),
        claims: Some(structure(claims)),
    })
}

fn view(session: &session::Session, current: Option<&SessionId>) -> Session {
    let device = &session.device;
    Session {
        id: session.id.to_string(),
        user_id: session.user.as_str().to_owned(),
        current: current == Some(&session.id),
        device: Some(Device {
            user_agent: device.user_agent.clone().unwrap_or_default(),
            address: device.address.map(|address| address.to_string()).unwrap_or_default(),
        }),
        created: Some(timestamp(session.created)),
        last_seen: Some(timestamp(session.last_seen)),
        expires: Some(timestamp(session.expires)),
    }
}

fn required<'a>(text: &'a str, name: &str) -> Result<&'a str, IssueError> {
    if text.is_empty() {
        return Err(IssueError::invalid_request(format!("{name} is missing")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_that_is_bound_to_its_sender_is_not_active() {
        let described = |more: Value| {
            let mut claims = json!({"active": true, "sub": "alice", "scope": "a"});
            let claims = claims.as_object_mut().unwrap();
            claims.extend(more.as_object().unwrap().clone());
            described(claims.clone(), &[])
        };
        let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert!(described(json!({"token_type": "Bearer"})).is_some_and(|found| found.active));
        for bound in [
            json!({"cnf": {"jkt": thumbprint}, "token_type": "DPoP"}),
            json!({"cnf": {"x5t#S256": thumbprint}}),
            json!({"cnf": {"kid": "k"}}),
            json!({"cnf": null}),
            json!({"token_type": "DPoP"}),
        ] {
            assert_eq!(described(bound.clone()), None, "{bound}");
        }
    }
}
