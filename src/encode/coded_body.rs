//! A body that codes another one as it is pulled.
//!
//! Owns: when what was taken is given: at the latest when nothing more comes for now, so that no
//! event is delayed; and the end, which an encoder writes only after a whole body. May touch:
//! [`crate::http1`], [`crate::message`]. The client's connection pulls it. It holds one part that
//! came, one that goes, and the coder's window.

use super::{
    CodedBytes,
    decoder::Decoder,
    encoder::Encoder,
    inflow::{Inflow, InflowEnd},
    turn::Turn,
};
use crate::{
    http1::outgoing::Part,
    message::body::{Body, BodyError, Length, Polled, Source, Want},
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    io,
    mem::take,
    task::{Context, Poll, ready},
};

/// How much goes into an encoder between two looks at the clock.
const STEP: usize = 8 * 1024;

/// A part of this size is given.
const PART: usize = 16 * 1024;

/// A body that is coded on its way.
pub(super) struct CodedBody {
    inflow: Inflow,
    /// `None` once it has given its end, or failed.
    coder: Option<Coder>,
    /// Given by the encoder, and not passed on yet.
    out: Vec<u8>,
    /// Whether the coder may hold some of what it was given.
    unflushed: bool,
    /// Whether nothing more came although the worker has looked for it.
    waited: bool,
    turn: Turn,
}

enum Coder {
    Encoder(Encoder, Option<CodedBytes>),
    Decoder(Decoder),
}

impl CodedBody {
    /// Compresses `body`.
    pub(super) fn encoding(body: Body, encoder: Encoder, counters: Option<CodedBytes>) -> Self {
        Self::new(body, Coder::Encoder(encoder, counters))
    }

    /// Undoes the coding of `body`.
    pub(super) fn decoding(body: Body, decoder: Decoder) -> Self {
        Self::new(body, Coder::Decoder(decoder))
    }

    fn new(body: Body, coder: Coder) -> Self {
        Self {
            inflow: Inflow::new(body),
            coder: Some(coder),
            out: Vec::new(),
            unflushed: false,
            waited: false,
            turn: Turn::default(),
        }
    }

    /// What the encoder has given.
    fn give(&mut self) -> Polled {
        let data = Bytes::from(take(&mut self.out));
        if let Some(Coder::Encoder(_, Some(counters))) = &self.coder {
            counters.given.inc_by(data.len() as u64);
        }
        Poll::Ready(Some(Ok(Part::Frame(Frame::data(data)))))
    }

    /// What comes after the last byte.
    fn poll_end(&mut self) -> Polled {
        let end = match self.inflow.ended.take() {
            Some(InflowEnd::Whole(Some(trailers))) => {
                Some(Ok(Part::Frame(Frame::trailers(trailers))))
            }
            Some(InflowEnd::Broken(error)) => Some(Err(error)),
            Some(InflowEnd::Whole(None)) | None => None,
        };
        Poll::Ready(end)
    }

    /// Codes a little of what came.
    fn step(&mut self) -> io::Result<()> {
        let Self { inflow, coder, out, unflushed, turn, .. } = self;
        match coder {
            Some(Coder::Encoder(encoder, counters)) => {
                let some = inflow.part.split_to(inflow.part.len().min(STEP));
                if let Some(counters) = counters {
                    counters.taken.inc_by(some.len() as u64);
                }
                *unflushed = true;
                turn.work(|| encoder.encode(&some, out))
            }
            Some(Coder::Decoder(decoder)) => {
                out.reserve_exact(PART);
                let done = turn.work(|| decoder.decode(&mut inflow.part, out));
                *unflushed = out.len() == out.capacity();
                done
            }
            None => Ok(()),
        }
    }

    /// The body has ended, and all of it has gone in.
    fn finish(&mut self) -> io::Result<()> {
        let whole = matches!(self.inflow.ended, Some(InflowEnd::Whole(_)));
        match &mut self.coder {
            Some(Coder::Encoder(encoder, _)) if whole => {
                self.turn.work(|| encoder.finish(&mut self.out))
            }
            // The client gets what came, and no end.
            Some(Coder::Encoder(encoder, _)) if self.unflushed => encoder.flush(&mut self.out),
            Some(Coder::Decoder(decoder)) if whole && !decoder.is_whole() => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            _ => Ok(()),
        }
    }

    /// Nothing more comes for now.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(Coder::Encoder(encoder, _)) = &mut self.coder else {
            self.turn.rest();
            return Poll::Pending;
        };
        if !self.unflushed {
            self.turn.rest();
            return Poll::Pending;
        }
        if !self.waited {
            // It may have arrived while this was busy. A flush for each little part would make the body
            // longer.
            self.waited = true;
            return self.turn.pass(cx);
        }
        (self.unflushed, self.waited) = (false, false);
        if encoder.flush(&mut self.out).is_err() {
            self.fail();
            return self.poll_end();
        }
        self.turn.rest();
        if self.out.is_empty() { Poll::Pending } else { self.give() }
    }

    fn fail(&mut self) {
        self.coder = None;
        self.out = Vec::new();
        self.inflow.stop(InflowEnd::Broken(BodyError::BadCoding));
    }

    fn poll_coded(&mut self, cx: &mut Context<'_>, most: usize) -> Polled {
        loop {
            if self.out.len() >= PART {
                return self.give();
            }
            ready!(self.turn.poll_begin(cx));
            let is_decoder = matches!(self.coder, Some(Coder::Decoder(_)));
            // A decoder had no more room, and may have more to give of what it has taken.
            if !self.inflow.part.is_empty() || is_decoder && self.unflushed {
                if self.step().is_err() {
                    self.fail();
                    return self.poll_end();
                }
                if is_decoder && !self.out.is_empty() {
                    return self.give();
                }
                continue;
            }
            if self.inflow.ended.is_none() {
                if self.inflow.poll_more(cx, most).is_pending() {
                    return self.poll_flush(cx);
                }
                self.waited = false;
                if self.inflow.ended.is_none() {
                    continue;
                }
            }
            if self.finish().is_err() {
                self.fail();
                return self.poll_end();
            }
            let given = if self.out.is_empty() { None } else { Some(self.give()) };
            self.coder = None;
            return given.unwrap_or_else(|| self.poll_end());
        }
    }
}

impl Source for CodedBody {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        if self.coder.is_none() {
            return self.poll_end();
        }
        if want.most == 0 {
            self.inflow.poll_meanwhile(cx);
            return Poll::Pending;
        }
        self.poll_coded(cx, want.most)
    }

    fn length(&self) -> Length {
        match (&self.coder, &self.inflow.ended) {
            (None, None | Some(InflowEnd::Whole(None))) => Length::None,
            _ => Length::Unknown,
        }
    }
}
