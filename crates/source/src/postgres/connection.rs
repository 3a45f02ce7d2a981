//! How a connection to PostgreSQL is made, and kept for the next export.

use super::demultiplexer::{DemultiplexedTls, Demultiplexer, RowChannel, Rows};
use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a server may take to say that it was told to stop.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection, and the rows of its scans that do not come through the driver.
pub(super) struct Connection {
    pub(super) client: Client,
    /// None come where the driver has made the connection, and did not encrypt it.
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
    #[error("{0}")]
    Network(#[from] io::Error),
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
}

impl Dialer {
    async fn connect(&self) -> Result<Connection, DialError> {
        match self.only_host() {
            Some((Host::Tcp(host), port)) => self.log_in(self.dial(host, port).await?, host).await,
            Some((Host::Unix(directory), port)) => self.log_in(socket(directory, port).await?, "").await,
            None => {
                let (channel, rows) = RowChannel::new();
                let (client, connection) =
                    self.config.connect(DemultiplexedTls { tls: self.tls.clone(), channel }).await?;
                Ok(driven(client, connection, rows))
            }
        }
    }

    async fn log_in<S>(&self, stream: S, host: &str) -> Result<Connection, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (channel, rows) = RowChannel::new();
        let stream = Demultiplexer::new(stream, channel.clone());
        let mut tls = DemultiplexedTls { tls: self.tls.clone(), channel };
        let tls =
            MakeTlsConnect::<Demultiplexer<S>>::make_tls_connect(&mut tls, host).map_err(io::Error::other)?;
        let logging_in = tokio::time::timeout(self.timeout(), self.config.connect_raw(stream, tls));
        let (client, connection) = logging_in.await.map_err(io::Error::from)??;
        Ok(driven(client, connection, rows))
    }

    /// The host, if there is no choice to make, which is better left to the driver.
    fn only_host(&self) -> Option<(&Host, u16)> {
        let is_plain = self.config.get_target_session_attrs() == TargetSessionAttrs::Any
            && self.config.get_load_balance_hosts() == LoadBalanceHosts::Disable
            && self.config.get_ssl_negotiation() == SslNegotiation::Postgres;
        if !is_plain {
            return None;
        }
        match (self.config.get_hosts(), self.config.get_hostaddrs(), self.config.get_ports()) {
            ([host], [], []) => Some((host, 5432)),
            ([host], [], [port]) => Some((host, *port)),
            _ => None,
        }
    }

    /// How long to wait for an address to answer, and again for the server to let us in.
    fn timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(Duration::MAX)
    }

    /// The first address of the host that answers in time.
    async fn reach(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let unknown = |error: io::Error| {
            // Of a password that was not encoded a part could stand there.
            let host = if host.contains(['@', '#', '/', '?', ':']) { "in the URL" } else { host };
            let words = format!("the host {host} is not known ({error}); see whether its name is right");
            io::Error::new(error.kind(), words)
        };
        let mut error = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        let addresses = tokio::time::timeout(self.timeout(), tokio::net::lookup_host((host, port)));
        let addresses = addresses.await.map_err(io::Error::from).flatten().map_err(unknown)?;
        for address in addresses {
            match tokio::time::timeout(self.timeout(), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(refused)) => error = refused,
                Err(late) => error = late.into(),
            }
        }
        Err(unanswered(&format!("{host}, port {port}"), &error))
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
        match self.only_host() {
            Some((Host::Tcp(host), port)) => {
                let stream = UntilClosed(self.dial(host, port).await?);
                let tls =
                    MakeTlsConnect::<UntilClosed<TcpStream>>::make_tls_connect(&mut self.tls.clone(), host);
                Ok(token.cancel_query_raw(stream, tls.map_err(io::Error::other)?).await?)
            }
            Some((Host::Unix(directory), port)) => {
                Ok(token.cancel_query_raw(UntilClosed(socket(directory, port).await?), NoTls).await?)
            }
            None => Ok(token.cancel_query(self.tls.clone()).await?),
        }
    }
}

/// As a server names its socket (PostgreSQL manual, section 20.3.1, `unix_socket_directories`).
async fn socket(directory: &Path, port: u16) -> io::Result<UnixStream> {
    let path = directory.join(format!(".s.PGSQL.{port}"));
    UnixStream::connect(&path).await.map_err(|error| unanswered(&path.display().to_string(), &error))
}

/// Why nobody answers at a place, in words for those who look after it.
fn unanswered(place: &str, error: &io::Error) -> io::Error {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => format!(
            "nobody listens at {place} ({error}); see whether PostgreSQL runs there, and whether host and port are right"
        ),
        io::ErrorKind::TimedOut => {
            format!(
                "nobody answers in time at {place}; see whether a firewall is between, and whether the host is right"
            )
        }
        _ => format!("{place} cannot be reached: {error}"),
    };
    io::Error::new(error.kind(), words)
}

/// A stream that is over when its other end says so. A server closes it when it has passed on what it was to cancel; some poolers
/// take it ill if the client does so first (PgBouncer 1.18 ends itself).
struct UntilClosed<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for UntilClosed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UntilClosed<S> {
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
