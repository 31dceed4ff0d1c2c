//! Whatever the head: the lexer says what `httparse` says, with the same pieces.
#![no_main]

use httparse::{EMPTY_HEADER, Header, ParserConfig, Request, Response, Status};
use libfuzzer_sys::fuzz_target;
use sheave::http1::lexer::{self, Field, Fields, Lexed};

const MOST: usize = 16;

fn alike(ours: &Fields<'_>, theirs: &[Header<'_>]) {
    assert_eq!(ours.len(), theirs.len());
    for (Field { name, value, .. }, other) in ours.iter().zip(theirs) {
        assert_eq!((*name, *value), (other.name.as_bytes(), other.value));
    }
}

/// The head's length; the first line is compared by the caller.
fn length<Line>(ours: &Lexed<Line>, theirs: Result<Status<usize>, httparse::Error>) -> bool {
    match (ours, theirs) {
        (Ok(None), Ok(Status::Partial)) => false,
        (Ok(Some((_, length))), Ok(Status::Complete(other))) if *length == other => true,
        (Err(error), Err(other)) if *error == other => false,
        // RFC 9110 §2.5: HTTP/1.2 to 1.9 are read as HTTP/1.1.
        (_, Err(httparse::Error::Version)) => false,
        (ours, theirs) => panic!(
            "ours {:?}, theirs {theirs:?}",
            ours.as_ref().map(|it| it.as_ref().map(|(_, length)| *length))
        ),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut room = [EMPTY_HEADER; MOST];
    let (mut fields, mut request) = (Fields::new(), Request::new(&mut room));
    let ours = lexer::request(bytes, MOST, &mut fields);
    let theirs = request.parse(bytes);
    if length(&ours, theirs) {
        let (line, _) = ours.expect("as theirs").expect("as theirs");
        assert_eq!(Some(line.method), request.method.map(str::as_bytes));
        assert_eq!(Some(line.target), request.path.map(str::as_bytes));
        assert_eq!(Some(u8::from(line.http11)), request.version);
        alike(&fields, request.headers);
    }
    let mut room = [EMPTY_HEADER; MOST];
    let (mut fields, mut response) = (Fields::new(), Response::new(&mut room));
    let ours = lexer::response(bytes, MOST, &mut fields);
    let mut config = ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true);
    let theirs = config.parse_response(&mut response, bytes);
    if length(&ours, theirs) {
        let (line, _) = ours.expect("as theirs").expect("as theirs");
        assert_eq!(Some(line.status), response.code);
        assert_eq!(Some(u8::from(line.http11)), response.version);
        alike(&fields, response.headers);
    }
});
