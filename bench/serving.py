"""Servers on 127.0.0.1 for what is measured: nginx on a directory, and a relay that makes it seem far away."""
import os
import socket
import subprocess
import sys
import time
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """nginx of our own, without logs, on a directory."""

    def __init__(self, root):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        work = os.path.join(root, "nginx")
        os.makedirs(work)
        temporary = "".join(f"{kind}_temp_path {work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.getuid() == 0 else ""
        with open(f"{work}/nginx.conf", "w") as file:
            file.write(f"daemon off; {user} worker_processes 1; pid {work}/pid; error_log {work}/error.log;\n"
                       f"events {{ worker_connections 1024; }}\nhttp {{ {temporary} access_log off; sendfile on; tcp_nodelay on;\n"
                       f"keepalive_requests 10000000; default_type application/octet-stream;\n"
                       f"server {{ listen 127.0.0.1:{self.port}; root {root}; }} }}\n")
        # it writes to its built-in log until it has read where to write
        self.process = subprocess.Popen(["nginx", "-c", f"{work}/nginx.conf", "-p", work], stderr=subprocess.DEVNULL)
        wait_for(f"{self.url}/nginx/nginx.conf")

    def close(self):
        self.process.terminate()
        self.process.wait()


class Delay:
    """The same server at a distance: each byte takes half of the round trip in each direction, and a connection one
    more to be made. Requests that are under way together wait together, as on a real line."""

    def __init__(self, target, round_trip_seconds):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen([sys.executable, __file__, str(self.port), str(target), str(round_trip_seconds)])
        wait_for(f"{self.url}/nginx/nginx.conf")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def wait_for(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(100):
        try:
            opener.open(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("a server of the benchmarks did not start")


def relay(port, target, round_trip):
    """The process behind `Delay`."""
    import asyncio

    async def forward(reader, writer, extra):
        due, loop = asyncio.Queue(), asyncio.get_running_loop()

        async def deliver():
            while True:
                when, chunk = await due.get()
                await asyncio.sleep(max(0, when - loop.time()))
                if not chunk:
                    writer.close()
                    return
                writer.write(chunk)
                await writer.drain()
        delivery = asyncio.create_task(deliver())
        try:
            chunk = b"-"
            while chunk:
                chunk = await reader.read(1 << 16)
                due.put_nowait((loop.time() + round_trip / 2 + extra, chunk))
                extra = 0
            await delivery
        except ConnectionError:
            delivery.cancel()
            writer.close()

    async def accept(reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(forward(reader, far_writer, round_trip), forward(far_reader, writer, 0), return_exceptions=True)

    async def listen():
        server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=256)
        await server.serve_forever()
    asyncio.run(listen())


if __name__ == "__main__":
    relay(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
