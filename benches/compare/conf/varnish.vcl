# Varnish with its own rules. @NAMES@ are filled in by the bench. It takes one of the servers, for its
# load is of what it has.
vcl 4.1;

backend app {
    .host = "@HOST@";
    .port = "@SERVER_PORT@";
}
