internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite(
    "nginx in front, by the file that README.md names",
    .enabled(if: Nginx.isInstalled, "nginx is not installed; 'apt-get install nginx-light' brings it"))
struct ProxyTests {
    @Test("everything works through a proxy, and the server sees the client's address")
    func nginx() throws {
        let world = try World(isServing: false)
        try expectSuccess(Daemon.run(["tls-self-signed", "--data", world.data], home: world.directory.path))
        try world.serve(["--behind-proxy", "127.0.0.1"])
        let nginx = try Nginx("nginx.conf", to: world, [("127.0.0.1:7117", world.url)])
        let trusting = ["--ca-file", world.certificate]
        func person(_ name: String) -> Person {
            Person(name: name, home: world.directory(name), server: nginx.url)
        }
        let (alice, bob) = (person("alice"), person("bob"))

        // A reader that waits, and is told at once.
        let reader = try bob.start(["log", "-f", "--format", "%m"] + trusting)
        #expect(try alice.run(["send", "one"] + trusting).code == 0)
        #expect(try reader.line() == "one")
        #expect(reader.finish(after: SIGINT).code == 130)

        // Bulk out, and in again, in more than any buffer holds.
        let lines = (0..<3_000).map { "line \($0) " + String(repeating: "x", count: 500) }
        try expectSuccess(
            alice.run(["send", "--lines"] + trusting, input: .text((lines.joined(separator: "\n") + "\n"))))
        #expect(try bob.run(["log", "--format", "%m"] + trusting).lines == ["one"] + lines)
        #expect(try bob.run(["verify"] + trusting).code == 0)

        // A client that claims to be another is not believed.
        let token = try world.alice.token()
        func curl(_ words: String...) throws -> Outcome {
            try ChildProcess(
                "/usr/bin/curl",
                [
                    "-sS", "--cacert", world.certificate, "--interface", "127.0.0.2", "-H",
                    "Authorization: Bearer \(token)",
                ]
                    + words, environment: [:]
            ).finish()
        }
        let sessions = try curl("-H", "X-Forwarded-For: 203.0.113.7", "\(nginx.url)/v1/sessions")
        #expect(sessions.code == 0, "\(sessions.errors)")
        #expect(try JSON(parsing: sessions.output)[objects: "sessions"].first?[string: "address"] == "127.0.0.2")

        // Refusals are natterd's own, not those of the proxy.
        let large = try world.directory.write("large", String(repeating: "x", count: 2 << 20))
        let refused = try curl(
            "-H", "Content-Type: application/json", "--data-binary", "@\(large)", "\(nginx.url)/v1/messages")
        #expect(try JSON(parsing: refused.output)[object: "error"]?[string: "code"] == "too_large", "\(refused)")
        #expect(try curl("\(nginx.url)/metrics").output.contains("\"forbidden\""))
    }

    @Test("two servers that share a store stand behind it: one is killed, and the users notice nothing")
    func severalServers() throws {
        let world = try World(isServing: false)
        try expectSuccess(Daemon.run(["tls-self-signed", "--data", world.data], home: world.directory.path))
        let uri = try PostgresCluster.shared().makeDatabase()
        try expectSuccess(Daemon.run(["copy", "--from", world.data, "--to", uri], home: world.directory.path))
        let servers = try ["one", "two"].map {
            try Daemon(data: world.directory($0), options: ["--store", uri, "--behind-proxy", "127.0.0.1"])
        }
        let nginx = try Nginx(
            "postgresql/nginx.conf", to: world,
            [("127.0.0.1:7117", servers[0].url), ("127.0.0.1:7118", servers[1].url)])
        let trusting = ["--ca-file", world.certificate]
        let people = ["alice", "bob"].map { Person(name: $0, home: world.directory($0), server: nginx.url) }
        let (alice, bob) = (people[0], people[1])
        for number in 1...6 {
            if number == 4 { _ = servers[0].stop(SIGKILL) }
            try expectSuccess(alice.run(["send", "message \(number)"] + trusting))
            #expect(try bob.run(["log", "--format", "%m"] + trusting).lines.last == "message \(number)")
        }
        #expect(try bob.run(["log", "--format", "%m"] + trusting).lines == (1...6).map { "message \($0)" })
        #expect(servers[1].stop().code == 0)
    }
}

/// nginx with a file of `packaging/examples/`, in which only addresses, name and certificate are changed.
private final class Nginx {
    private static let path = "/usr/sbin/nginx"
    static var isInstalled: Bool { access(path, X_OK) == 0 }

    let url: String
    private let process: ChildProcess

    /// - Parameter servers: the addresses in the file, and the servers in their place.
    init(_ example: String, to world: World, _ servers: [(address: String, url: String)]) throws {
        guard let site = Files.text("\(Programs.packageRoot)/packaging/examples/\(example)") else {
            throw Failure("no example")
        }
        var failure: (any Error)?
        // The port is free when it is looked for; should another take it before nginx does, the next is tried.
        for _ in 0..<5 {
            let port = try Nginx.freePort()
            var text = site
            for (old, new) in servers.map({ ($0.address, String($0.url.dropFirst("http://".count))) }) + [
                ("listen 443 ssl", "listen 127.0.0.1:\(port) ssl"),
                ("server_name chat.example.org", "server_name localhost"),
                ("/etc/letsencrypt/live/chat.example.org/fullchain.pem", world.certificate),
                ("/etc/letsencrypt/live/chat.example.org/privkey.pem", world.key),
            ] {
                guard text.components(separatedBy: old).count == 2 else { throw Failure("'\(old)' is not there once") }
                text = text.replacing(old, with: new)
            }
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map {
                "\($0)_temp_path \(world.directory($0));"
            }
            let file = try world.directory.write(
                "nginx.conf",
                "daemon off;\nmaster_process off;\nerror_log stderr notice;\npid \(world.directory("nginx.pid"));\n"
                    + "events {}\nhttp {\naccess_log off;\n\(temporary.joined(separator: "\n"))\n\(text)\n}\n")
            let process = try ChildProcess(Nginx.path, ["-p", world.directory.path, "-c", file], environment: [:])
            do {
                // Its sockets listen by then.
                try process.waitForErrors("event method")
                self.process = process
                url = "https://localhost:\(port)"
                return
            } catch {
                failure = error
            }
        }
        throw failure ?? Failure("nginx does not start")
    }

    private static func freePort() throws -> UInt16 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
            }
        }
        guard isBound else { throw Failure("bind: \(errno)") }
        return UInt16(bigEndian: address.sin_port)
    }
}
