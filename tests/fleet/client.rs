//! Requests, one a connection, without a client library that would repeat or hide anything.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use super::site::PATIENCE;

pub(super) const TENANT: &str = "acme";

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Known,
    Chunked,
    /// The client goes away after so many bytes.
    Aborted(usize),
    /// The client goes away when it has sent everything, and may or may not have stored it.
    Unread,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// An error where no answer came: then nobody knows what was done.
pub(super) fn put(to: SocketAddr, name: &str, content: &[u8], body: Body) -> io::Result<Answer> {
    let mut stream = open(to)?;
    let length = match body {
        Body::Chunked => "Transfer-Encoding: chunked".to_owned(),
        _ => format!("Content-Length: {}", content.len()),
    };
    // A server that means to close the connection does not look whether the client does.
    let rest = match body {
        Body::Unread => rest().replace("Connection: close\r\n", ""),
        _ => rest(),
    };
    write!(stream, "PUT /files/{name} HTTP/1.1\r\n{length}\r\n{rest}")?;
    let sent = match body {
        Body::Known => send(&mut stream, content),
        Body::Aborted(after) => {
            send(&mut stream, &content[..after])?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Body::Unread => {
            send(&mut stream, content)?;
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Body::Chunked => send_chunks(&mut stream, content),
    };
    // Who is refused may not be read to the end, and the answer is there all the same.
    read(stream).map_err(|error| sent.err().unwrap_or(error))
}

pub(super) fn delete(to: SocketAddr, name: &str) -> io::Result<Answer> {
    ask(to, "DELETE", &format!("/files/{name}"))
}

pub(super) fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    ask(to, "GET", path)
}

fn ask(to: SocketAddr, method: &str, path: &str) -> io::Result<Answer> {
    let mut stream = open(to)?;
    write!(stream, "{method} {path} HTTP/1.1\r\n{}", rest())?;
    read(stream)
}

fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn rest() -> String {
    format!("Host: test\r\nConnection: close\r\nX-Tenant: {TENANT}\r\n\r\n")
}

fn send(stream: &mut TcpStream, content: &[u8]) -> io::Result<()> {
    for piece in content.chunks(64 << 10) {
        stream.write_all(piece)?;
    }
    Ok(())
}

fn send_chunks(stream: &mut TcpStream, content: &[u8]) -> io::Result<()> {
    for piece in content.chunks(50_000) {
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        stream.write_all(b"\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")
}

fn read(mut stream: TcpStream) -> io::Result<Answer> {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    let end = all.windows(4).position(|four| four == b"\r\n\r\n");
    let status = all
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match (end, status) {
        (Some(end), Some(status)) => Ok(Answer {
            status,
            body: all.split_off(end + 4),
        }),
        _ => Err(ended.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
    }
}
