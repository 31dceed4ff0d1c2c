//! An HTTP/1 client while its request is handled.
//!
//! Owns: what is read meanwhile, and noticing that the client went away. May touch:
//! [`crate::http1`], [`crate::message`], [`crate::proxy`]. Called by [`super::http1`]. Next:
//! [`super::http1_response`].

use super::{
    http1_socket::{Ahead, Gone, Http1Socket},
    service::Service,
};
use crate::{
    http1::request_body::Giver,
    message::{answer::Answer, body::Body, interim::Interim},
    proxy::{delivery::Delivery, handle, record::Record},
};
use std::{
    future::poll_fn,
    iter::from_fn,
    pin::{Pin, pin},
    task::{Poll, ready},
};

/// The answer to a request whose body `giver` has. Meanwhile, interim responses are sent.
pub(super) async fn answer(
    socket: &mut Http1Socket,
    service: &Service,
    record: Box<Record>,
    body: Body,
    mut giver: Option<&mut Giver>,
) -> Result<Answer<Delivery>, Gone> {
    let number = record.facts.context.number;
    let interim = || service.peer().interims.take(number);
    let mut handling = pin!(handle(record, body));
    loop {
        let answered = poll_fn(|cx| {
            loop {
                let answered = handling.as_mut().poll(cx);
                while let Some(interim) = interim() {
                    socket.say_early(&interim);
                }
                if let Poll::Ready(answer) = answered {
                    return Poll::Ready(Ok(Some(answer)));
                }
                // Nothing may come between two parts of an interim response.
                ready!(socket.poll_early(cx))?;
                if let Ahead::Full = ready!(socket.poll_ahead(cx, giver.as_deref_mut()))? {
                    return Poll::Ready(Ok(None));
                }
            }
        });
        if let Some(answer) = answered.await? {
            return Ok(answer);
        }
        // Boxed: rare.
        let (answered, said) = Box::pin(watch(socket, handling.as_mut(), interim)).await?;
        for interim in said {
            socket.say_early(&interim);
        }
        if let Some(answer) = answered {
            return Ok(answer);
        }
    }
}

/// Waits while nothing more is read of what the client sends. Returns the interim responses that
/// there are, and the answer if it has come.
async fn watch<A>(
    socket: &Http1Socket,
    mut handling: Pin<&mut impl Future<Output = A>>,
    interim: impl Fn() -> Option<Interim>,
) -> Result<(Option<A>, Vec<Interim>), Gone> {
    let mut hung_up = pin!(socket.hung_up());
    poll_fn(|cx| {
        let answered = handling.as_mut().poll(cx);
        let said: Vec<_> = from_fn(&interim).collect();
        match answered {
            Poll::Ready(answer) => Poll::Ready(Ok((Some(answer), said))),
            Poll::Pending if !said.is_empty() => Poll::Ready(Ok((None, said))),
            Poll::Pending => hung_up.as_mut().poll(cx).map(|()| Err(Gone)),
        }
    })
    .await
}
