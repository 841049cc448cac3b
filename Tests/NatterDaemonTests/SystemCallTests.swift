import Glibc
import NatterSystem
import Testing
import TestSupport

@Suite("system calls that are broken off, or refused")
struct SystemCallTests {
    @Test("interrupted reads and writes are continued")
    func interrupted() throws {
        guard access("/usr/bin/strace", X_OK) == 0 else {
            print("skipped: there is no strace to break calls off")
            return
        }
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        // Given a server of which each third read and write of a file is broken off, once its libraries are loaded
        let strace = [
            "strace", "-D", "-f", "-qq", "-o", directory.path + "/trace", "-e", "trace=pread64,pwrite64", "-e",
            "inject=pread64:error=EINTR:when=60+3", "-e", "inject=pwrite64:error=EINTR:when=2+3",
        ]
        let service = try Service(data, wrapper: strace)
        guard service.port != 0 else {
            print("skipped: strace is not allowed here")
            return
        }
        // When it is used, and seals
        let token = service.register("alice")
        let text = String(repeating: "some text ", count: 200)
        for number in 0..<60 { #expect(service.post("\(number) \(text)", key: "\(number)", token: token) == 201) }
        service.send(SIGTERM)
        // Then nothing is different
        #expect(service.wait() == 0)
        let trace = String(
            decoding: try PosixDisk().contents(of: directory.path + "/trace", limit: 1 << 26), as: UTF8.self)
        #expect(trace.contains("INJECTED"))
        #expect(natterd("fsck", "--data", data).code == 0)
        #expect(natterd("export", "general", "--data", data).lines.count == 60)
    }

    @Test("with too many open files it refuses, loses nothing, and recovers when some are closed")
    func tooManyFiles() throws {
        let directory = try TemporaryDirectory()
        let data = directory.path + "/data"
        let service = try Service(data, wrapper: ["/bin/sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"])
        try #require(service.port != 0)
        let token = service.register("alice")
        #expect(service.post("before", key: "before", token: token) == 201)
        // When there are more connections than descriptors
        var sockets = (0..<80).compactMap { _ in try? RawClient(port: service.port) }
        #expect(sockets.count > 40)
        var acknowledged = ["before"]
        for number in 0..<5 where service.post("m\(number)", key: "m\(number)", token: token, patience: 1) == 201 {
            acknowledged.append("m\(number)")
        }
        sockets = []
        // Then it serves again by itself
        try eventually("an answer after the connections are closed") {
            [200, 201].contains(service.post("after", key: "after", token: token, patience: 1))
        }
        service.send(SIGTERM)
        #expect(service.wait() == 0)
        #expect(natterd("fsck", "--data", data).code == 0)
        let exported = natterd("export", "general", "--data", data).output
        for text in acknowledged + ["after"] { #expect(exported.contains("\"\(text)\"")) }
    }
}
