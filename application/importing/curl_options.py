"""Options of curl: their short names, which take a value, and which say nothing about the request (curl 8, man page)."""

from __future__ import annotations

_SHORT = (
    "X=request H=header d=data F=form u=user b=cookie A=user-agent e=referer G=get k=insecure L=location x=proxy"
    " I=head m=max-time o=output s=silent S=show-error v=verbose i=include f=fail O=remote-name w=write-out"
    " c=cookie-jar D=dump-header T=upload-file U=proxy-user E=cert r=range K=config #=progress-bar N=no-buffer"
    " g=globoff J=remote-header-name 4=ipv4 6=ipv6 0=http1.0 q=disable n=netrc z=time-cond C=continue-at"
    " y=speed-time Y=speed-limit Z=parallel a=append l=list-only j=junk-session-cookies P=ftp-port Q=quote"
    " R=remote-time t=telnet-option B=use-ascii p=proxytunnel 1=tlsv1 2=sslv2 3=sslv3 M=manual V=version :=next"
)
_VALUED = (
    "request header data data-raw data-binary data-ascii data-urlencode json form form-string user cookie"
    " user-agent referer proxy max-time connect-timeout url max-redirs output write-out cookie-jar dump-header"
    " upload-file proxy-user cert key cacert capath range config oauth2-bearer resolve interface retry retry-delay"
    " retry-max-time limit-rate time-cond continue-at speed-time speed-limit ftp-port quote telnet-option"
    " connect-to ciphers tls-max noproxy trace trace-ascii stderr unix-socket aws-sigv4 url-query output-dir"
    " cert-type key-type pass dns-servers local-port max-filesize proto proto-default proto-redir rate"
    " request-target service-name variable expect100-timeout keepalive-time happy-eyeballs-timeout-ms doh-url"
    " curves pinnedpubkey preproxy socks5 socks5-hostname socks4 socks4a alt-svc hsts etag-save etag-compare"
    " parallel-max create-file-mode libcurl"
)
_QUIET = (
    "compressed silent show-error verbose include output remote-name write-out progress-bar no-progress-meter"
    " globoff no-buffer ipv4 ipv6 http1.1 http2-prior-knowledge fail fail-with-body disable cookie-jar dump-header"
    " parallel stderr remote-header-name no-keepalive path-as-is output-dir create-dirs styled-output"
    " no-styled-output post301 post302 post303"
)
_HANDLED = (
    "request header data data-raw data-binary data-ascii data-urlencode json form form-string user cookie"
    " user-agent referer get insecure location location-trusted proxy proxy-user head max-time max-redirs http2"
    " basic digest oauth2-bearer url-query upload-file"
)
SHORT = dict(pair.split("=") for pair in _SHORT.split())
"""Long names by letter."""

VALUED = frozenset(_VALUED.split())
"""Options that take a value."""

QUIET = frozenset(_QUIET.split())
"""Options that say how curl behaves as a program, or what the engine does anyway."""

HANDLED = frozenset(_HANDLED.split())
"""Options that are translated."""
