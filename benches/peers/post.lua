-- What wrk sends: 1 KiB by POST.
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["content-type"] = "application/octet-stream"
