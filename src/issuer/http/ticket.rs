//! `POST /ticket`: a ticket for a web socket, in which a browser can send no header of its own.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::reply::{ErrorBody, json};
use super::{Web, paths};
use crate::issuer::caller::Caller;
use crate::issuer::error::IssueError;

/// A ticket.
#[derive(Serialize, ToSchema)]
pub(super) struct TicketAnswer {
    /// The ticket; it opens one web socket.
    #[schema(example = "pt_1q2w3e4r5t6y7u8i9o0p1q2w3e4r5t6y7u8i9o0p123")]
    ticket: String,
    /// The number of seconds for which it is good.
    #[schema(example = 10)]
    expires_in: u64,
}

/// Get a ticket for a web socket
///
/// It stands for the access token that is shown, opens one web socket behind a gate with
/// ACCEPT_TICKETS, and is good for TICKET_LIFETIME.
#[utoipa::path(
    post, path = paths::TICKET, tag = "Sessions", security(("bearer" = []), ("cookies" = [])),
    responses(
        (status = 200, description = "A ticket", body = TicketAnswer),
        (status = 401, description = "There is no live session", body = ErrorBody),
        (status = 403, description = "Another site's page sent the cookies", body = ErrorBody),
        (status = 503, description = "The store does not answer", body = ErrorBody),
    ),
)]
pub(super) async fn ticket(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, IssueError> {
    let bearer = web.reading_bearer(&method, &headers, &caller).await?;
    let (ticket, expires_in) = web.issuance.tickets.issue(&bearer, &caller).await?;
    Ok(json(StatusCode::OK, &TicketAnswer { ticket: ticket.to_text(), expires_in }))
}
