//! `refresh.RefreshService`: tp-auth's resource servers call it at each request of their users.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::caller_of;
use super::generated::tp_auth::refresh_service_server::RefreshService;
use super::generated::tp_auth::{RefreshRequest, RefreshResponse};
use crate::issuer::Issuance;

/// The service.
#[derive(Debug)]
pub(super) struct TpAuth {
    pub(super) issuance: Arc<Issuance>,
}

#[tonic::async_trait]
impl RefreshService for TpAuth {
    /// Always OK and empty, as those who call expect: they learn at the next check whether the
    /// handle lives on.
    async fn refresh_token(
        &self,
        request: Request<RefreshRequest>,
    ) -> Result<Response<RefreshResponse>, Status> {
        let caller = caller_of(&request);
        let asked = request.into_inner();
        let slid =
            self.issuance.refresh.slide_for_tp_auth(&asked.user_id, &asked.token, &caller).await;
        if let Err(error) = slid {
            error.log();
            tracing::debug!(error = error.code(), "a handle was not refreshed");
        }
        Ok(Response::new(RefreshResponse {}))
    }
}
