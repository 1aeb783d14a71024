// Two services with the traits that tonic's generated ones have, for the guide's examples to be compiled with.

macro_rules! generated {
    ($server:ident, $name:literal) => {
        #[derive(Clone)]
        pub struct $server;

        impl tonic::server::NamedService for $server {
            const NAME: &'static str = $name;
        }

        impl<B: Send + 'static> tonic::codegen::Service<http::Request<B>> for $server {
            type Response = http::Response<tonic::body::Body>;
            type Error = std::convert::Infallible;
            type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

            fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
                std::task::Poll::Ready(Ok(()))
            }

            fn call(&mut self, _: http::Request<B>) -> Self::Future {
                Box::pin(async { Ok(http::Response::default()) })
            }
        }
    };
}

generated!(UploadsServer, "example.Uploads");
generated!(ReportsServer, "example.Reports");
