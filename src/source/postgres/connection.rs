//! How a connection to PostgreSQL is made, and kept for the next export.

use super::aside::{Aside, Rows};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a server may take to say that it was told to stop.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, and the rows of its scans that do not come through the driver.
pub(super) struct Connection {
    pub(super) client: Client,
    /// None come where the connection is encrypted, or was made by the driver.
    pub(super) rows: Rows,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Its end closes the socket.
        self.task.abort();
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("error connecting to server: {0}")]
    Network(#[from] io::Error),
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

impl Dialer {
    async fn connect(&self) -> Result<Connection, DialError> {
        let Some((host, port)) = self.only_host() else {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            return Ok(driven(client, connection, Rows::none()));
        };
        let (stream, rows) = Aside::new(self.dial(host, port).await?);
        let tls = MakeTlsConnect::<Aside<TcpStream>>::make_tls_connect(&mut self.tls.clone(), host);
        let logging_in = self.config.connect_raw(stream, tls.map_err(io::Error::other)?);
        let (client, connection) =
            tokio::time::timeout(self.timeout(), logging_in).await.map_err(io::Error::from)??;
        Ok(driven(client, connection, rows))
    }

    /// The host, if there is no choice to make, which is better left to the driver.
    fn only_host(&self) -> Option<(&str, u16)> {
        let is_plain = self.config.get_target_session_attrs() == TargetSessionAttrs::Any
            && self.config.get_load_balance_hosts() == LoadBalanceHosts::Disable
            && self.config.get_ssl_negotiation() == SslNegotiation::Postgres;
        if !is_plain {
            return None;
        }
        match (self.config.get_hosts(), self.config.get_hostaddrs(), self.config.get_ports()) {
            ([Host::Tcp(host)], [], []) => Some((host, 5432)),
            ([Host::Tcp(host)], [], [port]) => Some((host, *port)),
            _ => None,
        }
    }

    /// How long to wait for an address to answer, and again for the server to let us in.
    fn timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(Duration::MAX)
    }

    /// The first address of the host that answers in time.
    async fn reach(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        let addresses = tokio::time::timeout(self.timeout(), tokio::net::lookup_host((host, port)));
        for address in addresses.await?? {
            match tokio::time::timeout(self.timeout(), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(refused)) => error = refused,
                Err(late) => error = late.into(),
            }
        }
        Err(error)
    }

    /// As the driver would, with the same settings.
    async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let stream = self.reach(host, port).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_user_timeout(self.config.get_tcp_user_timeout().copied())?;
        if self.config.get_keepalives() {
            let mut keepalive = TcpKeepalive::new().with_time(self.config.get_keepalives_idle());
            if let Some(interval) = self.config.get_keepalives_interval() {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(retries) = self.config.get_keepalives_retries() {
                keepalive = keepalive.with_retries(retries);
            }
            socket.set_tcp_keepalive(&keepalive)?;
        }
        Ok(stream)
    }

    /// Asks the server to stop what a connection is doing. Whether it did is not known (PostgreSQL manual, section 55.2.9).
    pub(super) async fn cancel(&self, token: CancelToken) -> Result<(), DialError> {
        tokio::time::timeout(CANCEL_TIMEOUT, self.ask_to_stop(token)).await.map_err(io::Error::from)?
    }

    async fn ask_to_stop(&self, token: CancelToken) -> Result<(), DialError> {
        let Some((host, port)) = self.only_host() else {
            return Ok(token.cancel_query(self.tls.clone()).await?);
        };
        let stream = UntilClosed(self.dial(host, port).await?);
        let tls = MakeTlsConnect::<UntilClosed>::make_tls_connect(&mut self.tls.clone(), host);
        Ok(token.cancel_query_raw(stream, tls.map_err(io::Error::other)?).await?)
    }
}

/// A stream that is over when its other end says so. A server closes it when it has passed on what it was to cancel; some poolers
/// take it ill if the client does so first (PgBouncer 1.18 ends itself).
struct UntilClosed(TcpStream);

impl AsyncRead for UntilClosed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for UntilClosed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut bytes, mut is_read) = ([0; 64], true);
        while is_read {
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
            is_read = !buffer.filled().is_empty();
        }
        Poll::Ready(Ok(()))
    }
}

fn driven<S, T>(client: Client, connection: tokio_postgres::Connection<S, T>, rows: Rows) -> Connection
where
    tokio_postgres::Connection<S, T>: Future + Send + 'static,
    <tokio_postgres::Connection<S, T> as Future>::Output: Send,
{
    let task = tokio::spawn(async move {
        // Its error reaches whoever uses the client.
        let _ = connection.await;
    });
    Connection { client, rows, task }
}

impl managed::Manager for Dialer {
    type Type = Connection;
    type Error = DialError;

    async fn create(&self) -> Result<Connection, DialError> {
        self.connect().await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<DialError> {
        match connection.client.is_closed() {
            true => Err(RecycleError::message("the connection is closed")),
            false => Ok(()),
        }
    }
}
