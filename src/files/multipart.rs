//! Several parts of a file in one body (RFC 9110 §14.6).
//!
//! Owns: the frame around the parts. May touch: [`crate::message`]. Next: the connection, which
//! pulls it. All parts come from one file that is open, or from one copy in memory.

use crate::message::body::{Body, Length, Polled, Source, Want};
use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    task::{Context, Poll, ready},
};

/// Bodies, one after the other.
struct Sequence(VecDeque<Body>);

/// The body with these parts, each with its place, of a file of `length` bytes; and its type.
pub(super) fn multipart(
    parts: impl Iterator<Item = ((u64, u64), Body)>,
    length: u64,
    content_type: &str,
) -> (Body, String) {
    // Nobody who writes the file can know it.
    let random = RandomState::new();
    let boundary = format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1));
    let mut bodies = VecDeque::new();
    for ((first, last), body) in parts {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\n\
             Content-Range: bytes {first}-{last}/{length}\r\n\r\n"
        );
        bodies.push_back(Body::Full(head.into()));
        bodies.push_back(body);
    }
    bodies.push_back(Body::Full(format!("\r\n--{boundary}--\r\n").into()));
    (Body::stream(Sequence(bodies)), format!("multipart/byteranges; boundary={boundary}"))
}

impl Source for Sequence {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        while let Some(body) = self.0.front_mut() {
            match ready!(body.poll_part(cx, want)) {
                None => drop(self.0.pop_front()),
                Some(Err(error)) => {
                    self.0.clear();
                    return Poll::Ready(Some(Err(error)));
                }
                part => return Poll::Ready(part),
            }
        }
        Poll::Ready(None)
    }

    fn length(&self) -> Length {
        let left = self.0.iter().map(|it| it.length().exact().unwrap_or_default()).sum();
        if left == 0 { Length::None } else { Length::Exact(left) }
    }
}
