"use strict";
// Fetches the page again and puts its new figures in place of the old ones.
(() => {
  const every = 2000;
  let busy = false;
  const refresh = async () => {
    if (document.hidden || busy) return;
    busy = true;
    try {
      const response = await fetch(location.href, {
        headers: { accept: "text/html" },
        cache: "no-store",
        signal: AbortSignal.timeout(10000),
      });
      if (!response.ok) throw new Error(response.status);
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      const main = fresh.querySelector("main");
      if (!main) throw new Error("not this page");
      document.querySelector("main").replaceWith(document.adoptNode(main));
      document.title = fresh.title;
      document.querySelector("link[rel=icon]").replaceWith(fresh.querySelector("link[rel=icon]"));
    } catch {
      document.querySelector("main").classList.add("stale");
    } finally {
      busy = false;
    }
  };
  setInterval(refresh, every);
  document.addEventListener("visibilitychange", refresh);
})();
