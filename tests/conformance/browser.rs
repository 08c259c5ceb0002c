//! A real Chromium without a window, driven by the protocol of its developer tools.
//!
//! It speaks through pipes, messages end with a NUL: no port and no WebSocket are needed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::tools;

/// The longest time until something on a page has happened.
const HAPPENS_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks whether it has.
const POLL: Duration = Duration::from_millis(20);

/// A browser with one open page.
pub(crate) struct Browser {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    messages: u64,
    /// Uncaught errors and the browser's own complaints, such as violations of a policy.
    problems: Vec<String>,
    _process: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with an empty page in a zone whose time is never UTC.
    pub(crate) async fn start() -> Self {
        let chromium = tools::chromium().await;
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            // The protocol has the descriptors 3 and 4.
            .args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh"])
            .arg(chromium)
            // Containers have no sandbox for it, and it opens only pages of the tests.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
            ])
            .args([
                "--remote-debugging-pipe",
                "--hide-scrollbars",
                "--no-first-run",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("TZ", "Asia/Kathmandu")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut browser = Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            session: None,
            messages: 0,
            problems: Vec::new(),
            _process: process,
            _profile: profile,
        };
        let target = browser
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach).await;
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser
    }

    /// Calls a method and returns its result.
    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        let result = self.try_call(method, parameters).await;
        result.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.messages += 1;
        let id = self.messages;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).await.unwrap();
        loop {
            let message = tokio::time::timeout(HAPPENS_WITHIN, self.message()).await;
            let message = message.unwrap_or_else(|_| panic!("the browser does not end {method}"));
            if message["id"] == id {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
            let problem = match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => &message["params"]["exceptionDetails"],
                Some("Log.entryAdded") => &message["params"]["entry"],
                _ => continue,
            };
            // Responses with an error status are on the page.
            if problem["source"] != "network" {
                let text = problem["exception"]["description"].as_str();
                let text = text.or(problem["text"].as_str()).unwrap();
                self.problems.push(text.to_owned());
            }
        }
    }

    async fn message(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.output.read_until(0, &mut bytes).await.unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        serde_json::from_slice(&bytes).unwrap()
    }

    /// Sets the size of the page and its scheme of colours.
    pub(crate) async fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }

    /// Opens an address, as a new page even if only the fragment is another.
    pub(crate) async fn open(&mut self, url: &str) {
        for url in ["about:blank", url] {
            let opened = self.call("Page.navigate", json!({ "url": url })).await;
            assert!(opened.get("errorText").is_none(), "{url}: {opened}");
            let is_there = format!(
                "document.readyState === 'complete' && {}",
                match url {
                    "about:blank" => "location.href === 'about:blank'",
                    _ => "location.href !== 'about:blank'",
                }
            );
            self.until(&is_there).await;
        }
    }

    /// Evaluates JavaScript on the page.
    pub(crate) async fn evaluate(&mut self, script: &str) -> Value {
        let result = self.try_evaluate(script).await;
        result.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    async fn try_evaluate(&mut self, script: &str) -> Result<Value, Value> {
        let parameters =
            json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let result = self.try_call("Runtime.evaluate", parameters).await?;
        match result.get("exceptionDetails") {
            Some(error) => Err(error.clone()),
            None => Ok(result["result"]["value"].clone()),
        }
    }

    /// Evaluates JavaScript whose value is a string.
    pub(crate) async fn text(&mut self, script: &str) -> String {
        let value = self.evaluate(script).await;
        value
            .as_str()
            .unwrap_or_else(|| panic!("{script} is {value}"))
            .to_owned()
    }

    /// Waits until the JavaScript is true. It may fail while a page gives way to another.
    pub(crate) async fn until(&mut self, script: &str) {
        let deadline = Instant::now() + HAPPENS_WITHIN;
        loop {
            let value = self.try_evaluate(script).await;
            if value == Ok(json!(true)) {
                return;
            }
            if Instant::now() > deadline {
                let body = self.text("document.body.innerText").await;
                panic!(
                    "{script} is still {value:?} on\n{body}\n{:?}",
                    self.problems
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Types a text, a key for each character.
    pub(crate) async fn write(&mut self, text: &str) {
        for character in text.chars() {
            for kind in ["keyDown", "keyUp"] {
                let mut event = json!({ "type": kind, "key": character.to_string() });
                if kind == "keyDown" {
                    event["text"] = json!(character.to_string());
                }
                self.call("Input.dispatchKeyEvent", event).await;
            }
        }
    }

    /// Presses a key that writes no character; its modifiers are 1 Alt, 2 Ctrl, 8 Shift.
    pub(crate) async fn press(&mut self, key: &str, modifiers: u8) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => panic!("{key} has no code here"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers,
            });
            if key == "Enter" && kind == "keyDown" {
                event["text"] = json!("\r");
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Moves, presses or releases the mouse at a point of the page.
    pub(crate) async fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
        self.call("Input.dispatchMouseEvent", event).await;
    }

    /// Allows or forbids the scripts of pages that are opened next.
    pub(crate) async fn allow_scripts(&mut self, is_allowed: bool) {
        let forbidden = json!({ "value": !is_allowed });
        self.call("Emulation.setScriptExecutionDisabled", forbidden)
            .await;
    }

    /// Returns a picture of the page in all its height, as PNG.
    pub(crate) async fn whole_picture(&mut self) -> Vec<u8> {
        let size = "[document.documentElement.clientWidth, document.documentElement.scrollHeight]";
        let size = self.evaluate(size).await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let parameters = json!({ "format": "png", "clip": clip, "captureBeyondViewport": true, "optimizeForSpeed": false });
        let picture = self.call("Page.captureScreenshot", parameters).await;
        STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()
    }

    /// Saves a picture of the page in the folder for outputs of tests.
    pub(crate) async fn picture(&mut self, name: &str) -> PathBuf {
        let picture = self
            .call("Page.captureScreenshot", json!({ "format": "png" }))
            .await;
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("query-{name}.png"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Returns what went wrong on pages since the last call.
    pub(crate) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }
}
