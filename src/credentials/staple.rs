//! An OCSP response (RFC 6960) that is to be stapled: whether it is for a certificate, and how long
//! it holds.
//!
//! Owns: the parts of its form that this needs. The client verifies its signature.

use x509_parser::{
    asn1_rs::{Any, Class, Oid, Tag, oid},
    prelude::FromDer,
    time::ASN1Time,
};

/// `id-pkix-ocsp-basic`.
const BASIC: Oid<'_> = oid!(1.3.6.1.5.5.7.48.1.1);

/// When a response holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StapleLife {
    /// The first second.
    pub begins: i64,
    /// The last one; a response without one may be replaced at any time.
    pub ends: Option<i64>,
}

/// Why a response can't be stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StapleFault {
    /// Something else, or cut off.
    NotOne,
    /// The responder says that it could not answer.
    Refused(u8),
    /// It is about other certificates.
    Elsewhere,
    /// The certificate is revoked.
    Revoked,
    /// The responder does not know the certificate.
    Unknown,
}

impl std::fmt::Display for StapleFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotOne => f.write_str("is no OCSP response in DER, or is cut off"),
            Self::Refused(status) => {
                write!(f, "has no answer: its responder refused with status {status}")
            }
            Self::Elsewhere => f.write_str("is for another certificate"),
            Self::Revoked => f.write_str("says that the certificate is revoked"),
            Self::Unknown => f.write_str("says that its responder does not know the certificate"),
        }
    }
}

/// What the response `der` says of the certificate with this serial number.
pub fn read(der: &[u8], serial: &[u8]) -> Result<StapleLife, StapleFault> {
    let single = find(der, serial)?;
    status(single).ok_or(StapleFault::NotOne)?
}

/// The part that is about the certificate.
fn find<'a>(der: &'a [u8], serial: &[u8]) -> Result<&'a [u8], StapleFault> {
    let responses = responses(der).ok_or(StapleFault::NotOne)??;
    let mut input = responses;
    while !input.is_empty() {
        let single = sequence(&mut input).ok_or(StapleFault::NotOne)?;
        let mut inside = single;
        let mut id = sequence(&mut inside).ok_or(StapleFault::NotOne)?;
        // The hash's algorithm, and those of the issuer's name and key.
        let number =
            (0..3).try_for_each(|_| next(&mut id).map(|_| ())).and_then(|()| next(&mut id));
        let number = number.filter(|it| it.tag() == Tag::Integer).ok_or(StapleFault::NotOne)?;
        if number.data == serial {
            return Ok(inside);
        }
    }
    Err(StapleFault::Elsewhere)
}

/// `ResponseData.responses`; `None` if this is no response.
fn responses(der: &[u8]) -> Option<Result<&[u8], StapleFault>> {
    let mut outer = der;
    let mut response = sequence(&mut outer)?;
    let answer = next(&mut response).filter(|it| it.tag() == Tag::Enumerated)?;
    match answer.data {
        [0] => {}
        [status] => return Some(Err(StapleFault::Refused(*status))),
        _ => return None,
    }
    let mut bytes = tagged(&next(&mut response)?, 0)?;
    let mut bytes = sequence(&mut bytes)?;
    let kind = next(&mut bytes)?.oid().ok()?;
    let mut basic = next(&mut bytes).filter(|it| it.tag() == Tag::OctetString)?.data;
    if !outer.is_empty() || kind != BASIC {
        return None;
    }
    let mut data = sequence(&mut sequence(&mut basic)?)?;
    // The version is there only if it is not the first; then come the responder and the time.
    if tagged(&next(&mut data)?, 0).is_some() {
        next(&mut data)?;
    }
    next(&mut data)?;
    sequence(&mut data).map(Ok)
}

/// Of what follows a certificate's id.
fn status(mut single: &[u8]) -> Option<Result<StapleLife, StapleFault>> {
    let status = next(&mut single).filter(|it| it.class() == Class::ContextSpecific)?;
    match status.tag().0 {
        0 => {}
        1 => return Some(Err(StapleFault::Revoked)),
        _ => return Some(Err(StapleFault::Unknown)),
    }
    let (rest, begins) = ASN1Time::from_der(single).ok()?;
    single = rest;
    let ends = match next(&mut single).and_then(|it| tagged(&it, 0)) {
        Some(time) => Some(ASN1Time::from_der(time).ok()?.1.timestamp()),
        None => None,
    };
    Some(Ok(StapleLife { begins: begins.timestamp(), ends }))
}

fn next<'a>(input: &mut &'a [u8]) -> Option<Any<'a>> {
    let (rest, any) = Any::from_der(input).ok()?;
    *input = rest;
    Some(any)
}

/// What is in the sequence that comes next.
fn sequence<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    next(input).filter(|it| it.tag() == Tag::Sequence).map(|it| it.data)
}

/// What is in `[number] EXPLICIT`.
fn tagged<'a>(any: &Any<'a>, number: u32) -> Option<&'a [u8]> {
    (any.class() == Class::ContextSpecific && any.tag().0 == number).then_some(any.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made by `openssl ocsp`: 00C1 is good, 02 revoked, 03 unknown; from 2026-11-28 on for ten
    /// years.
    const ALL: &str = "\
    308202020a0100a08201fb308201f706092b0601050507300101048201e8308201e430820189a10f300d310b30090603\
    5504030c026361180f32303236313132383038333334395a3082013e3063303b300906052b0e03021a0500041411048c\
    d20cb3592307d019fd0889562b62d36492041496ecb0b87bd42938d4eec2b7682593c27b127b3d020200c18000180f32\
    303236313132383038333334395aa011180f32303336313132353038333334395a3073303a300906052b0e03021a0500\
    041411048cd20cb3592307d019fd0889562b62d36492041496ecb0b87bd42938d4eec2b7682593c27b127b3d020102a1\
    11180f32303236303130313030303030305a180f32303236313132383038333334395aa011180f323033363131323530\
    38333334395a3062303a300906052b0e03021a0500041411048cd20cb3592307d019fd0889562b62d36492041496ecb0\
    b87bd42938d4eec2b7682593c27b127b3d0201038200180f32303236313132383038333334395aa011180f3230333631\
    3132353038333334395aa1233021301f06092b060105050730010204120410fa89808ebf17296bdf56accb0a673af730\
    0a06082a8648ce3d0403020349003046022100fbb51fa24ba64c55a36f3b22776adc398c000552438a03f4239659e126\
    024742022100c60f71f3d65efda4aea4e040041c51642ccab95127946a73537725209baef141";

    fn all() -> Vec<u8> {
        let digits: Vec<char> = ALL.chars().filter(char::is_ascii_hexdigit).collect();
        let byte = |two: &[char]| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    #[test]
    fn what_a_responder_says_of_each_certificate() {
        let all = all();
        let life = read(&all, &[0, 0xc1]).unwrap();
        assert_eq!((life.begins, life.ends), (1_795_854_829, Some(2_111_214_829)));
        assert_eq!(read(&all, &[2]), Err(StapleFault::Revoked));
        assert_eq!(read(&all, &[3]), Err(StapleFault::Unknown));
        assert_eq!(read(&all, &[4]), Err(StapleFault::Elsewhere));
        assert_eq!(read(&[0x30, 3, 0x0a, 1, 6], &[2]), Err(StapleFault::Refused(6)));
        for end in 0..all.len() {
            assert_eq!(read(&all[..end], &[0, 0xc1]), Err(StapleFault::NotOne), "{end}");
        }
        assert_eq!(read(&[&all[..], &[0]].concat(), &[0, 0xc1]), Err(StapleFault::NotOne));
    }

    proptest! {
        #[test]
        fn a_damaged_response_is_read_or_not(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut all = all();
            *at.get_mut(&mut all) ^= flip;
            let _ = read(&all, &[0, 0xc1]);
        }
    }
}
