setInterval(async () => {
  if (document.hidden) return;
  const main = document.querySelector("main");
  try {
    const response = await fetch(location.href, { cache: "no-store" });
    if (!response.ok) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    main.replaceChildren(...page.querySelector("main").childNodes);
    main.className = "";
  } catch {
    main.className = "stale";
  }
}, 2000);
