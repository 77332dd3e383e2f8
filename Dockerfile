# mic-mail in a container: data and configuration in the volume /var/lib/mic-mail, doors on the usual ports.
#   docker build -t mic-mail .
#   docker run --rm -it -v mic-mail:/var/lib/mic-mail mic-mail init
#   docker run -d -v mic-mail:/var/lib/mic-mail -p 25:25 -p 587:587 -p 465:465 -p 143:143 -p 993:993 -p 110:110 -p 995:995 -p 389:389 -p 636:636 -p 443:443 -p 80:80 mic-mail

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/mic-mail
COPY requirements.lock .
RUN /opt/mic-mail/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/mic-mail/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
# Our own code is Apache-2.0; with aioimaplib and Unidecode the whole is passed on under the GPL (NOTICE).
LABEL org.opencontainers.image.title="mic-mail" \
    org.opencontainers.image.licenses="GPL-3.0-only"
COPY LICENSE NOTICE docs/licenses.csv /usr/share/doc/mic-mail/
COPY LICENSES /usr/share/doc/mic-mail/LICENSES
# Debian's zone data: the regulation counts in Asia/Ho_Chi_Minh.
RUN apt-get update \
    && apt-get install -y --no-install-recommends tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 825 --home-dir /var/lib/mic-mail --create-home mic-mail
COPY --from=build /opt/mic-mail /opt/mic-mail
ENV PATH=/opt/mic-mail/bin:$PATH \
    MIC_MAIL_CONFIG=/var/lib/mic-mail/mic-mail.toml \
    PYTHONDONTWRITEBYTECODE=1
USER mic-mail
WORKDIR /var/lib/mic-mail
VOLUME /var/lib/mic-mail
EXPOSE 25 587 465 143 993 110 995 389 636 443 80
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["mic-mail", "status"]
ENTRYPOINT ["mic-mail"]
CMD ["serve"]
