//! One request and its reply.

use tokio::time::timeout;
use vouchsafe_protocol::codec;
use vouchsafe_protocol::lease::Lease;
use vouchsafe_protocol::limits::SESSION_FRAME_LEN;
use vouchsafe_protocol::session::{Outcome, Reply, Request, Response};
use zeroize::Zeroizing;

use super::error::RequestError;
use super::mode::{About, Mode, Subject};
use super::{Session, Shared};

/// Bytes of a request's frame besides the encoded request.
const ENVELOPE_LEN: usize = 42;

impl<M: Mode> Session<M> {
    /// Sends a request, waits, and takes from the reply what `take` wants: `None` for a reply of another kind.
    pub(super) async fn request<T>(
        &self,
        request: &Request,
        subject: Subject<'_>,
        take: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<M::Out<T>, RequestError> {
        self.request_leased(request, subject, |reply, _| take(reply)).await
    }

    /// The same for what may be handed out with a lease.
    pub(super) async fn request_leased<T>(
        &self,
        request: &Request,
        subject: Subject<'_>,
        take: impl FnOnce(Reply, Option<Lease>) -> Option<T>,
    ) -> Result<M::Out<T>, RequestError> {
        let Response { outcome, receipt, lease } = self.shared.call(request, M::RECEIPT).await?;
        let reply = match outcome {
            Outcome::Done(reply) => reply,
            Outcome::Refused(refusal) => return Err(RequestError::Refused(refusal)),
        };
        let value = take(reply, lease).ok_or(RequestError::Unexpected)?;
        M::wrap(value, receipt, &About { shared: &self.shared, subject, lease })
    }
}

impl Shared {
    pub(super) async fn call(&self, request: &Request, receipt: bool) -> Result<Response, RequestError> {
        let body = Zeroizing::new(codec::encode(request).map_err(RequestError::Encode)?);
        let len = body.len().saturating_add(ENVELOPE_LEN);
        if len > SESSION_FRAME_LEN {
            return Err(RequestError::TooLarge { len, limit: SESSION_FRAME_LEN });
        }
        timeout(self.request_timeout, self.driver.call(body, receipt))
            .await
            .map_err(|_| RequestError::Timeout)?
            .map_err(RequestError::Ended)
    }
}
