//! `upload known|unknown http1|http2 URL BYTES`: a client with reqwest. Prints the status and how long the answer was.

use std::error::Error;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, Client, header::CONTENT_LENGTH};

const CHUNK: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match upload().await {
        Ok(outcome) => println!("{outcome}"),
        Err(error) => {
            let mut cause: &dyn Error = &*error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            println!("error {cause}");
        }
    }
}

async fn upload() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [length, version, url, bytes] = &arguments[..] else {
        return Err("usage: upload known|unknown http1|http2 URL BYTES".into());
    };
    let client = match version.as_str() {
        "http2" => Client::builder().http2_prior_knowledge(),
        _ => Client::builder().http1_only(),
    };
    let mut request = client.build()?.put(url);
    if length == "known" {
        request = request.header(CONTENT_LENGTH, bytes);
    }
    let answer = request.body(zeros(bytes.parse()?)).send().await?;
    let status = answer.status().as_u16();
    Ok(format!("{status} {}", answer.bytes().await?.len()))
}

fn zeros(bytes: usize) -> Body {
    let chunk = Bytes::from(vec![0; CHUNK]);
    Body::wrap_stream(stream::unfold(bytes, move |left| {
        let chunk = chunk.slice(..left.min(CHUNK));
        async move { (left > 0).then(|| (Ok::<_, std::io::Error>(chunk.clone()), left - chunk.len())) }
    }))
}
