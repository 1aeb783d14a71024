//! A client's connection, of either version of HTTP.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinHandle};

use crate::body::Sent;

/// Made when it is needed, and again when it is gone.
pub(crate) struct Connection {
    address: SocketAddr,
    is_http2: bool,
    open: Option<Open>,
}

struct Open {
    sender: Sender,
    driver: JoinHandle<()>,
}

enum Sender {
    One(http1::SendRequest<Sent>),
    Two(http2::SendRequest<Sent>),
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Bytes,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    pub(crate) const fn new(address: SocketAddr, is_http2: bool) -> Self {
        Self {
            address,
            is_http2,
            open: None,
        }
    }

    /// Sends a request, and reads all of its answer.
    pub(crate) async fn send(&mut self, request: Request<Sent>) -> Result<Answer, Error> {
        let answer = self.exchange(request).await;
        if answer.is_err() {
            self.close().await;
        }
        answer
    }

    /// When it is done the client's side is gone.
    pub(crate) async fn close(&mut self) {
        if let Some(Open { sender, driver }) = self.open.take() {
            drop(sender);
            driver.abort();
            let _ = driver.await;
        }
    }

    async fn exchange(&mut self, request: Request<Sent>) -> Result<Answer, Error> {
        self.ready().await?;
        let open = self
            .open
            .as_mut()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        let response = match &mut open.sender {
            Sender::One(sender) => sender.send_request(request).await?,
            Sender::Two(sender) => sender.send_request(request).await?,
        };
        whole(response).await
    }

    async fn ready(&mut self) -> Result<(), Error> {
        let is_ready = match &mut self.open {
            None => false,
            Some(open) => match &mut open.sender {
                Sender::One(sender) => sender.ready().await.is_ok(),
                Sender::Two(sender) => sender.ready().await.is_ok(),
            },
        };
        if !is_ready {
            self.close().await;
            self.open = Some(self.connect().await?);
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Open, Error> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        Ok(if self.is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            let driver = tokio::spawn(async { drop(connection.await) });
            Open {
                sender: Sender::Two(sender),
                driver,
            }
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            let driver = tokio::spawn(async { drop(connection.await) });
            Open {
                sender: Sender::One(sender),
                driver,
            }
        })
    }
}

async fn whole(response: Response<Incoming>) -> Result<Answer, Error> {
    let (parts, body) = response.into_parts();
    Ok(Answer {
        head: Response::from_parts(parts, ()),
        body: body.collect().await?.to_bytes(),
    })
}
