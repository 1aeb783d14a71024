//! A headless Chromium, steered through its DevTools protocol over a pair of pipes.

#![allow(dead_code, reason = "no test needs all of it")]

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One browser with one page. It ends when this is dropped.
pub(crate) struct Browser {
    process: Child,
    requests: File,
    answers: Receiver<Value>,
    next_id: u64,
    session: Option<String>,
    /// Events that came while something else was waited for.
    events: Vec<Value>,
    _dir: TempDir,
}

impl Browser {
    /// `None`, and a line that says so, where there is no Chromium.
    pub(crate) fn start() -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let is_there = |name: &&&str| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        };
        let Some(name) = names.iter().find(is_there) else {
            println!("skipped: chromium is not installed");
            return None;
        };
        let dir = TempDir::new().expect("a directory");
        let (requests, answers) = (dir.path().join("requests"), dir.path().join("answers"));
        let made = Command::new("mkfifo").args([&requests, &answers]).status();
        assert!(made.expect("mkfifo runs").success());
        // Both ways, so that it does not wait for the browser to open the other end.
        let open = |path: &Path| {
            let options = OpenOptions::new().read(true).write(true).open(path);
            options.expect("a pipe")
        };
        let (requests_in, answers_out) = (open(&requests), open(&answers));
        let process = Command::new("sh")
            .args(["-c", r#"in=$1 out=$2; shift 2; exec "$@" 3<"$in" 4>"$out""#, "sh"])
            .args([&requests, &answers])
            .arg(name)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut messages = BufReader::new(answers_out).split(0);
            while let Some(Ok(message)) = messages.next() {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            requests: requests_in,
            answers: receiver,
            next_id: 0,
            session: None,
            events: Vec::new(),
            _dir: dir,
        };
        let target = browser.command("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = browser.command(
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "DOM"] {
            browser.command(&format!("{domain}.enable"), &json!({}));
        }
        Some(browser)
    }

    /// Opens an address and waits until all of it is there.
    pub(crate) fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.command("Page.navigate", &json!({ "url": url }));
        assert_eq!(answer["errorText"], Value::Null, "{url}");
        self.wait_for("Page.loadEventFired");
    }

    /// What an expression comes to. The page's own policy does not apply to it.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let answer = self.command(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        let expression = format!("document.querySelector({})?.innerText ?? ''", json!(selector));
        self.eval(&expression).as_str().expect("a text").to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn eventually(&mut self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(expression) != json!(true) {
            assert!(Instant::now() < deadline, "never: {expression}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn resize(&mut self, width: u32, height: u32, is_phone: bool) {
        self.command(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone }),
        );
    }

    pub(crate) fn prefer(&mut self, scheme: &str) {
        self.command(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
    }

    pub(crate) fn switch_scripts(&mut self, on: bool) {
        self.command("Emulation.setScriptExecutionDisabled", &json!({ "value": !on }));
    }

    /// Puts files into an `<input type=file>` as a person does who picks them.
    pub(crate) fn pick(&mut self, selector: &str, files: &[&Path]) {
        let document = self.command("DOM.getDocument", &json!({}));
        let node = self.command(
            "DOM.querySelector",
            &json!({ "nodeId": document["root"]["nodeId"], "selector": selector }),
        );
        self.command(
            "DOM.setFileInputFiles",
            &json!({ "nodeId": node["nodeId"], "files": files }),
        );
    }

    /// A picture of the whole page.
    pub(crate) fn screenshot(&mut self, path: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.command("Page.captureScreenshot", &params);
        let data = answer["data"].as_str().expect("a picture");
        std::fs::write(path, from_base64(data)).expect("written");
    }

    /// What the browser complained about since the page was opened: breaches of its policy, errors in scripts.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // Whatever came before this answer is in.
        self.eval("0");
        self.events
            .iter()
            .filter(|event| {
                ["Log.entryAdded", "Runtime.exceptionThrown"].contains(&event["method"].as_str().unwrap_or(""))
            })
            .map(|event| event["params"].to_string())
            .collect()
    }

    pub(crate) fn command(&mut self, method: &str, params: &Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut request = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.requests
            .write_all(format!("{request}\0").as_bytes())
            .expect("the browser reads");
        loop {
            let message = self.receive(method);
            if message["id"] == json!(id) {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn wait_for(&mut self, event: &str) {
        while !self.events.iter().any(|message| message["method"] == event) {
            let message = self.receive(event);
            self.events.push(message);
        }
    }

    fn receive(&mut self, what: &str) -> Value {
        let message = self.answers.recv_timeout(PATIENCE);
        message.unwrap_or_else(|_| panic!("the browser does not answer: {what}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It ends its own processes; killed, it would leave them.
        let _ = self.requests.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').collect();
    letters
        .chunks(4)
        .flat_map(|four| {
            let word = four
                .iter()
                .fold(0_u32, |word, letter| word << 6 | u32::from(value(*letter)));
            let word = word << (6 * (4 - four.len()));
            word.to_be_bytes()
                .into_iter()
                .skip(1)
                .take(four.len() - 1)
                .collect::<Vec<_>>()
        })
        .collect()
}
