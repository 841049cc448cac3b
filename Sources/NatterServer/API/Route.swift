internal import NatterLanguage
internal import NatterWire

/// One request of the API: where it is found and what answers it.
struct Route: Sendable {
    /// Where the work is done.
    enum Place: Sendable {
        /// On the loop's thread: nothing that blocks.
        case loop
        /// On a worker: may read from the disk.
        case worker
    }

    let method: String
    /// `*` stands for any one segment.
    let path: [String]
    let place: Place
    /// Whether every field of the body is optional, so that it may be missing.
    let isBodyOptional: Bool
    let answer: @Sendable (Call) throws(APIError) -> Void

    init(
        _ method: String, _ path: String, on place: Place = .worker, isBodyOptional: Bool = false,
        _ answer: @escaping @Sendable (Call) throws(APIError) -> Void
    ) {
        self.method = method
        self.path = path.split(separator: "/").map(String.init)
        (self.place, self.isBodyOptional, self.answer) = (place, isBodyOptional, answer)
    }

    /// The open segments of a path that this route's pattern fits.
    func parameters(of path: [String]) -> [String]? {
        guard path.count == self.path.count else { return nil }
        var open: [String] = []
        for (segment, pattern) in zip(path, self.path) {
            if pattern == "*" {
                guard !segment.isEmpty else { return nil }
                open.append(segment)
            } else if segment != pattern {
                return nil
            }
        }
        return open
    }

    var takesBody: Bool { method != "GET" }
}

/// Finds the route of a request.
struct Router: Sendable {
    let routes: [Route]

    struct Match: Sendable {
        let route: Route
        let parameters: [String]
    }

    /// - Throws: 400 for a path that can't be decoded, 404, 405 with `Allow`.
    func match(_ head: RequestHead) throws(APIError) -> Match {
        guard let path = head.path else { throw APIError(.badRequest, "the path is not percent-encoded UTF-8") }
        var allowed: [String] = []
        // HEAD is GET without the body, which the listener leaves out.
        let method = head.method == "HEAD" ? "GET" : head.method
        for route in routes {
            guard let parameters = route.parameters(of: path) else { continue }
            if route.method == method { return Match(route: route, parameters: parameters) }
            allowed.append(route.method)
            if route.method == "GET" { allowed.append("HEAD") }
        }
        if allowed.isEmpty { throw APIError(.notFound, "there is nothing at this path") }
        throw APIError(
            .methodNotAllowed, "this path takes \(allowed.joined(separator: ", "))",
            allow: allowed.joined(separator: ", "))
    }
}
