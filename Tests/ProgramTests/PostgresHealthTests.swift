internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("the health of a server whose PostgreSQL fails")
struct PostgresHealthTests {
    enum Fault: CaseIterable { case locked, frozen, ended }

    @Test("healthz tells at once that messages can't be taken, and that they can again", arguments: Fault.allCases)
    func health(_ fault: Fault) throws {
        let directory = try TemporaryDirectory()
        let cluster = try PostgresCluster()
        let uri = try cluster.makeDatabase()
        let server = try Daemon(data: directory("data"), options: ["--store", uri])
        defer { cluster.thaw() }
        // A balancer gives up after some seconds, and says nothing of the reason then.
        func health() throws -> Answer {
            let began = Date()
            let answer = try RawRequest.send("GET", "/healthz", to: server.url)
            #expect(Date().timeIntervalSince(began) < 2)
            return answer
        }
        #expect(try health().status == 200)
        var holder: ChildProcess?
        switch fault {
        case .locked: holder = try cluster.hold("log", in: uri)
        case .frozen: try cluster.freeze()
        case .ended: cluster.stop(SIGQUIT)
        }
        try eventually("it is noticed", milliseconds: 8_000) { try health().status == 503 }
        for _ in 0..<10 {
            let answer = try health()
            #expect(answer.status == 503 && answer.text.contains(fault == .locked ? "lock" : "answer"), "\(answer)")
            usleep(500_000)
        }
        let metrics = try RawRequest.send("GET", "/metrics", to: server.url)
        #expect(metrics.status == 200 && metrics.text.contains("natter_trouble{kind=\"database\"} 1"), "\(metrics)")
        switch fault {
        case .locked:
            try cluster.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", in: uri)
            _ = holder?.finish()
        case .frozen: cluster.thaw()
        case .ended: try cluster.start()
        }
        try eventually("it is over", milliseconds: 8_000) { try health().status == 200 }
        #expect(server.stop().code == 0)
        cluster.stop(SIGINT)
    }
}
