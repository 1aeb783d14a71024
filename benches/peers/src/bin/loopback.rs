//! The whole way over loopback: a server without a layer, with this crate's, and with a limit of the body's length, each
//! asked by `wrk` in turns. Without `wrk` there is nothing to measure.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitCode, Stdio},
};

use axum::Router;
use peers::{
    report::{Figures, quartiles},
    stack,
    subjects::{BARE, GUARD, LARGEST, LIMIT, on_disk_and_memory},
};
use tower_http::limit::RequestBodyLimitLayer;

const ROUNDS: usize = 15;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/post.lua");

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        Some(subject) => serve(&subject),
        None => measure(),
    }
}

fn router(subject: &str) -> Router {
    match subject {
        GUARD => stack::router().layer(on_disk_and_memory().build().expect("sound settings")),
        LIMIT => stack::router().layer(RequestBodyLimitLayer::new(LARGEST)),
        _ => stack::router(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(subject: &str) -> ExitCode {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    axum::serve(listener, router(subject)).await.expect("served");
    ExitCode::SUCCESS
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(subject: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a path"))
            .arg(subject)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut address = String::new();
        let told = process.stdout.take().expect("piped");
        BufReader::new(told).read_line(&mut address).expect("an address");
        Self {
            process,
            address: address.trim().to_owned(),
        }
    }

    fn requests_a_second(&self) -> Option<f64> {
        let output = Command::new("wrk")
            .args(["-t1", "-c16", "-d1s", "-s", SCRIPT])
            .arg(format!("http://{}/", self.address))
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("Non-2xx") {
            return None;
        }
        let line = text.lines().find(|line| line.starts_with("Requests/sec:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn measure() -> ExitCode {
    if Command::new("wrk").arg("-v").output().is_err() {
        println!("skipped: wrk is missing");
        return ExitCode::SUCCESS;
    }
    let subjects = [BARE, "bare service, again", GUARD, LIMIT];
    let servers = subjects.map(Server::start);
    let mut rates = subjects.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for turn in 0..subjects.len() {
            let at = (turn + round) % subjects.len();
            let Some(rate) = servers[at].requests_a_second() else {
                println!("wrk told nothing of {}", subjects[at]);
                return ExitCode::FAILURE;
            };
            rates[at].push(rate);
        }
    }
    let bare = rates[0].clone();
    let mut figures = Figures::default();
    for (subject, rates) in subjects.iter().zip(&rates) {
        let mut ratios: Vec<_> = rates.iter().zip(&bare).map(|(rate, bare)| rate / bare).collect();
        let [low, middle, high] = quartiles(&mut ratios);
        println!("{middle:.3} ({low:.3} to {high:.3}) of what the bare service does: {subject}");
        for (what, value) in [("q1", low), ("ratio", middle), ("q3", high)] {
            figures.put("loopback", subject, what, value);
        }
    }
    figures
        .save("loopback")
        .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}
