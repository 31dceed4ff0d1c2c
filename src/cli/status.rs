//! `sheave status`: one screen about a running daemon.
//!
//! Owns: what is asked for it, and when again. May touch: nothing outside this room.

use super::{asking::AdminPlace, failed, print, status_text};
use serde_json::{Value, json};
use std::{
    io::{IsTerminal, stdout},
    thread::sleep,
    time::Duration,
};

/// Which daemon, and how it is shown.
pub(super) struct StatusFrom {
    pub(super) admin: AdminPlace,
    pub(super) json: bool,
    pub(super) watch: bool,
}

/// From one screen to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// To the upper left corner, and what follows is cleared.
const AGAIN: &str = "\x1b[H\x1b[J";

/// Shows it; gives the exit code.
pub(super) fn run(from: &StatusFrom) -> u8 {
    let is_terminal = stdout().is_terminal();
    loop {
        let told = match asked(&from.admin) {
            Ok(told) => told,
            Err(code) => return code,
        };
        let page =
            if from.json { format!("{told:#}\n") } else { status_text::page(&told, is_terminal) };
        if from.watch && is_terminal && !from.json {
            print(AGAIN);
        }
        print(&page);
        if !from.watch {
            return 0;
        }
        sleep(PAUSE);
    }
}

fn asked(admin: &AdminPlace) -> Result<Value, u8> {
    let stats = admin.json("GET", "/stats", "")?;
    let (code, text) = admin.ask("GET", "/health", "").map_err(|error| failed(3, &error))?;
    // It answers with 503 if nothing can be served.
    let health = admin.answered("/health", if code == 503 { 200 } else { code }, &text)?;
    let reloads = admin.json("GET", "/reloads", "")?;
    Ok(json!({ "stats": stats, "health": health, "last_reload": reloads["reloads"][0] }))
}
