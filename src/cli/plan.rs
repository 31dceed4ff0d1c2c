//! `sheave plan`: what a reload would change.
//!
//! Owns: asking the daemon, or comparing two files. May touch: [`crate::config`],
//! [`crate::daemon`], [`crate::plan`]. Exit codes are for CI: 4 if something would change and
//! `--exit-code` is there.

use super::{asking::AdminPlace, complain, failed, plan_text, print};
use crate::{
    config::{self, Loaded},
    daemon::StartError,
    plan::plan,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is compared with what.
pub(super) struct PlanFrom {
    pub(super) new: PathBuf,
    /// Without one, the running daemon.
    pub(super) against: Option<PathBuf>,
    pub(super) admin: AdminPlace,
    pub(super) json: bool,
    pub(super) exit_code: bool,
}

/// The exit code if something would change.
const CHANGES: u8 = 4;

/// Compares; gives the exit code.
pub(super) fn run(from: &PlanFrom) -> u8 {
    let told = match &from.against {
        Some(old) => of_files(old, &from.new),
        None => by_daemon(from),
    };
    let told = match told {
        Ok(told) => told,
        Err(code) => return code,
    };
    if from.json {
        print(&format!("{told:#}\n"));
    } else {
        print(&plan_text::page(&told));
    }
    let changes = told["changes"].as_array().is_some_and(|it| !it.is_empty());
    if from.exit_code && changes { CHANGES } else { 0 }
}

fn of_files(old: &Path, new: &Path) -> Result<Value, u8> {
    let load = |path: &Path| {
        config::load(path).map_err(|error| {
            let error = StartError::Config(error);
            complain(&format!("{error}\n"));
            error.exit_code()
        })
    };
    let (old, new) = (load(old)?, load(new)?);
    let Loaded { config, warnings, .. } = new;
    Ok(plan(&old.config, &config, &warnings, None))
}

fn by_daemon(from: &PlanFrom) -> Result<Value, u8> {
    let text = fs::read_to_string(&from.new)
        .map_err(|error| failed(3, &format!("`{}` can't be read: {error}", from.new.display())))?;
    let question = json!({ "text": text, "file": from.new.display().to_string() }).to_string();
    let (status, answer) =
        from.admin.ask("POST", "/plan", &question).map_err(|error| failed(3, &error))?;
    if status == 422 {
        let told: Value = serde_json::from_str(&answer).unwrap_or_default();
        complain(&format!("{}\n", told["text"].as_str().unwrap_or(&answer)));
        return Err(1);
    }
    from.admin.answered("/plan", status, &answer)
}
