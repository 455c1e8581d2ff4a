"""What stands for the hosts of third parties that the clients name in their code.

    released client ──▶ aiohttp ──▶ loopback                     as asked
                               └──▶ a host in the table below    its stand-in
                               └──▶ any other host               refused, so that no test depends on it

The clients' own code is not touched: only where a name leads. A stand-in is
either a node of the network under test (it serves what that host serves) or
one of the documents below, in the shape that the client's models demand.
"""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

LOCAL = {"127.0.0.1", "localhost"}
#: Who publishes the list of nodes on the public network.
PUBLIC_CORECHANNEL = "0xa1B3bb7d2332383D96b7796B908fB7f7F3c2Be10"


class Internet:
    """Leads names to stand-ins while it is entered."""

    def __init__(self, network):
        self.network = network
        #: `(host, path)` → JSON document. Tests may add their own.
        self.documents = {
            ("api.github.com", "/repos/aleph-im/aleph-vm/releases/latest"): {"tag_name": "1.2.3"},
        }
        #: Every URL of a third party that was asked.
        self.asked = []

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.original = aiohttp.ClientSession._request
        internet, original = self, self.original

        async def request(session, method, str_or_url, **options):
            return await original(session, method, internet.lead(session, str_or_url), **options)

        self.resolve = socket.getaddrinfo

        def resolve(host, *arguments, **options):
            if host not in LOCAL and host != "0.0.0.0":
                raise socket.gaierror(socket.EAI_NONAME, f"{host} is no part of the network under test")
            return internet.resolve(host, *arguments, **options)

        aiohttp.ClientSession._request = request
        socket.getaddrinfo = resolve
        return self

    def __exit__(self, *_):
        aiohttp.ClientSession._request = self.original
        socket.getaddrinfo = self.resolve
        self.server.shutdown()

    def lead(self, session, url):
        whole = session._build_url(url)
        if whole.host in LOCAL:
            # The command line names the public network's list of nodes by its owner.
            path = whole.raw_path_qs.replace(PUBLIC_CORECHANNEL, self.network.foundation.get_address())
            return whole.join(URL(path, encoded=True)) if PUBLIC_CORECHANNEL in whole.path else url
        self.asked.append(str(whole))
        has_documents = any(host == whole.host for host, _ in self.documents)
        origin = None if has_documents else self._nodes().get(whole.host)
        if origin is None:
            if not has_documents:
                raise AssertionError(f"{whole} is no part of the network under test")
            origin = f"http://127.0.0.1:{self.server.server_port}/{whole.host}"
        path = whole.raw_path_qs
        if whole.host.startswith("ipfs."):
            path = path.replace("/ipfs/", "/api/v0/storage/raw/", 1)
        return URL(origin + path, encoded=True)

    def _nodes(self):
        """Hosts whose service a node of this network offers itself."""
        core = self.network.core[0]
        return {
            "aleph.sh": self.network.compute[0],
            "scheduler.api.aleph.cloud": core,
            "crns-list.aleph.sh": core,
            "ipfs.aleph.im": core,
            "ipfs.aleph.cloud": core,
        }


def _handler(internet):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _, host, path = urlsplit(self.path).path.split("/", 2)
            document = internet.documents.get((host, f"/{path}"))
            body = json.dumps(document).encode()
            self.send_response(404 if document is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
