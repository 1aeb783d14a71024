//! Two probes of one's own: the size of a database, and the length of a queue, whose unit is messages.
//!
//! `POST /events` puts a message into a queue, from which a worker writes it to the database. Either may be what runs out
//! first. `GET /capacity` tells how things stand.
//!
//! ```sh
//! cargo run --example custom_probe
//! for i in $(seq 40); do curl -s -o /dev/null -w '%{http_code} ' --data-binary "event $i" http://127.0.0.1:3001/events; done
//! ```

#![allow(clippy::print_stdout, reason = "it talks to whoever started it")]

use std::{error::Error, fs, io, path::PathBuf, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use tokio::{io::AsyncWriteExt, sync::mpsc};
use tower_storage_guard::{Charge, Floor, Reading, Resource, ResourceReport, StorageGuardLayer};

const DATABASE_LIMIT: u64 = 64 << 10;
const QUEUE_LENGTH: usize = 25;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(format!("custom_probe-{}.log", std::process::id()));
    fs::write(&path, [])?;
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);

    let database = database(path.clone())?;
    let queue = queue(&sender)?;
    // A message is charged with its bytes to the database and with one place to the queue.
    let guard = StorageGuardLayer::builder()
        .resource(database.clone())
        .resource_charged(queue.clone(), Charge::Each(1))
        .max_body(4 << 10)
        .build()?;

    tokio::spawn(store(receiver, path));
    let app: Router = Router::new()
        .route("/events", post(enqueue))
        .layer(guard)
        .route("/capacity", get(|| async move { tell(&[database, queue]) }))
        .with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3001").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// A closure is a probe. An error is not "full": the failure policy decides.
fn database(path: PathBuf) -> Result<Resource, Box<dyn Error>> {
    let measure = move || -> io::Result<Reading> {
        let used = fs::metadata(&path)?.len();
        Ok(Reading::new(DATABASE_LIMIT, DATABASE_LIMIT.saturating_sub(used)))
    };
    Ok(Resource::builder("database", measure)
        .floor(Floor::percent(10.0))
        .build()?)
}

/// The unit is the probe's affair. Nothing needs to stay free in a queue.
fn queue(sender: &mpsc::Sender<Bytes>) -> Result<Resource, Box<dyn Error>> {
    let sender = sender.downgrade();
    let measure = move || {
        let sender = sender.upgrade().ok_or("the queue is gone")?;
        Ok::<_, Box<dyn Error + Send + Sync>>(Reading::new(QUEUE_LENGTH as u64, sender.capacity() as u64))
    };
    Ok(Resource::builder("queue", measure)
        .floor(Floor::NONE)
        .near(Floor::percent(20.0))
        .exit_margin(Floor::NONE)
        .interval(Duration::from_millis(50))
        .build()?)
}

async fn enqueue(State(queue): State<mpsc::Sender<Bytes>>, message: Bytes) -> StatusCode {
    match queue.send(message).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Slow on purpose, so that the queue fills up first.
async fn store(mut queue: mpsc::Receiver<Bytes>, path: PathBuf) -> io::Result<()> {
    let mut file = tokio::fs::OpenOptions::new().append(true).open(path).await?;
    while let Some(message) = queue.recv().await {
        tokio::time::sleep(Duration::from_millis(100)).await;
        file.write_all(&message).await?;
        file.flush().await?;
    }
    Ok(())
}

fn tell(resources: &[Resource]) -> String {
    let line = |resource: &Resource| {
        let ResourceReport {
            state,
            total,
            available,
            headroom,
            ..
        } = resource.report();
        format!(
            "{}: {available} of {total} free, room for {headroom}, {}\n",
            resource.name(),
            state.name()
        )
    };
    resources.iter().map(line).collect()
}
