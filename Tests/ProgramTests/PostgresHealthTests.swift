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
        // A balancer gives up after some seconds, and says nothing of the reason then. A request that asks the database
        // waits 10 s for it.
        func answer(_ path: String = "/healthz") throws -> Answer {
            let began = Date()
            let answer = try RawRequest.send("GET", path, to: server.url)
            #expect(Date().timeIntervalSince(began) < 9)
            return answer
        }
        #expect(try answer().status == 200)
        var holder: ChildProcess?
        switch fault {
        case .locked: holder = try cluster.hold("log", in: uri)
        case .frozen: try cluster.freeze()
        case .ended: cluster.stop(SIGQUIT)
        }
        try eventually("it is noticed") { try answer().status == 503 }
        for _ in 0..<10 {
            let health = try answer()
            #expect(health.status == 503 && health.text.contains(fault == .locked ? "lock" : "answer"), "\(health)")
            usleep(500_000)
        }
        let status = try Daemon.run(
            ["--data", directory("data"), "status"], home: directory.path, environment: [:], input: .nothing)
        #expect(status.code == 0 && status.output.contains(fault == .locked ? "lock" : "answer"), "\(status)")
        // All workers wait for the database, because of a token that another server may know.
        let waiting = try (0..<4).map { _ in
            try ChildProcess(
                "/usr/bin/curl",
                ["-s", "-H", "Authorization: Bearer " + String(repeating: "A", count: 43), server.url + "/v1/users"],
                environment: [:])
        }
        defer { for process in waiting { _ = process.finish() } }
        try eventually("all of them wait") {
            let metrics = try answer("/metrics")
            #expect(metrics.status == 200 && metrics.text.contains("natter_trouble{kind=\"database\"} 1"), "\(metrics)")
            return metrics.text.contains("natter_connections 5\n")
        }
        switch fault {
        case .locked:
            try cluster.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", in: uri)
            _ = holder?.finish()
        case .frozen: cluster.thaw()
        case .ended: try cluster.start()
        }
        try eventually("it is over") { try answer().status == 200 }
        #expect(server.stop().code == 0)
        cluster.stop(SIGINT)
    }
}
