//! The three decoders behind one face.
//!
//! Owns: how bytes go in and out, so that a bomb gives no more at a time than there is room for.
//! May touch: [`crate::settings`]. Driven by [`super::coded_body`].

use crate::settings::Coding;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::StandardAlloc};
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use std::io;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// RFC 9659: no window is larger than 8 MiB.
const ZSTD_WINDOW: u32 = 23;
const GZIP_WINDOW: u8 = 15;

type BrotliDecoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Undoes one coding.
pub(super) struct Decoder {
    kind: DecoderKind,
    /// Whether anything has come.
    begun: bool,
    /// It stands at an end, after which nothing or another member may come.
    whole: bool,
    /// What follows the end is no part of it.
    over: bool,
}

enum DecoderKind {
    Gzip(Decompress),
    /// Boxed: it is large.
    Brotli(Box<BrotliDecoder>),
    Zstd(ZstdDecoder<'static>),
}

impl Decoder {
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        let kind = match coding {
            Coding::Gzip => DecoderKind::Gzip(Decompress::new_gzip(GZIP_WINDOW)),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                let state = BrotliState::new_strict(alloc(), alloc(), alloc());
                DecoderKind::Brotli(Box::new(state))
            }
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW))?;
                DecoderKind::Zstd(decoder)
            }
        };
        Ok(Self { kind, begun: false, whole: false, over: false })
    }

    /// Whether all that has come is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.whole || !self.begun
    }

    /// Decodes some of `input` into the room that `out` has.
    pub(super) fn decode(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> io::Result<()> {
        self.begun |= !input.is_empty();
        if self.over {
            input.clear();
            return Ok(());
        }
        match &mut self.kind {
            DecoderKind::Gzip(state) => {
                if self.whole {
                    match input.first() {
                        None => return Ok(()),
                        // Another member (RFC 1952 §2.2).
                        Some(0x1f) => *state = Decompress::new_gzip(GZIP_WINDOW),
                        Some(_) => {
                            self.over = true;
                            return Ok(());
                        }
                    }
                    self.whole = false;
                }
                let before = state.total_in();
                let status = state.decompress_vec(input, out, FlushDecompress::None)?;
                input.advance((state.total_in() - before) as usize);
                self.whole = status == Status::StreamEnd;
            }
            DecoderKind::Brotli(state) => {
                let (mut left, mut at) = (input.len(), 0);
                let (begin, mut end) = (out.len(), out.len());
                out.resize(out.capacity(), 0);
                let mut room = out.len() - begin;
                let result = BrotliDecompressStream(
                    &mut left, &mut at, input, &mut room, &mut end, out, &mut 0, state,
                );
                out.truncate(end);
                input.advance(at);
                match result {
                    BrotliResult::ResultSuccess => (self.whole, self.over) = (true, true),
                    BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                }
            }
            DecoderKind::Zstd(state) => {
                if self.whole && input.is_empty() {
                    return Ok(());
                }
                let mut from = InBuffer::around(input);
                let end = out.len();
                // 0 at the end of a frame, after which another may come (RFC 8878 §3.1).
                self.whole = state.run(&mut from, &mut OutBuffer::around_pos(out, end))? == 0;
                let taken = from.pos;
                input.advance(taken);
            }
        }
        Ok(())
    }
}
